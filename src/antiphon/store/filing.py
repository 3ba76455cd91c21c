"""Files whole: their rows and their bytes.

The bytes come first and the row last, and a row goes before its bytes do: so whoever finds a row finds the
bytes, and a crash leaves at most bytes that nobody knows. `sweep` removes those, and what has expired.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.ids import new_file_id, new_part_id, new_upload_id
from antiphon.store.base import PageQuery
from antiphon.store.blobs import Arriving, Blobs
from antiphon.store.files import FilePage, FileRow, Files, PartRow, UploadRow

BATCH_SECONDS = 30 * 86400
"""Files for batches are kept so long when nothing else is said."""
UPLOAD_SECONDS = 3600
"""An upload has to be completed in so long."""
STRANGER_SECONDS = 3600.0
"""Bytes that nobody knows may still get their row, if they are younger than this."""


class About(Struct, frozen=True):
    """What a client says of a file."""

    filename: str
    purpose: str
    seconds: int | None = None
    """How long it is to be kept."""


class Found(Protocol):
    """A file that was found, and so may be read."""

    @property
    def id(self) -> str: ...


class Filing:
    """The files and uploads of all projects."""

    def __init__(self, rows: Files, blobs: Blobs, clock: Callable[[], float] = time.time) -> None:
        self._rows = rows
        self._blobs = blobs
        self._clock = clock

    # ---- files ----

    def arriving(self) -> AbstractAsyncContextManager[Arriving]:
        """Takes in the bytes of a file, for `add`."""
        return self._blobs.arriving(new_file_id())

    async def add(self, project: str, arriving: Arriving, about: About) -> FileRow:
        """A file, whose bytes have all arrived."""
        row = await self._filed(arriving, about)
        await self._rows.add(project, row)
        return row

    async def file(self, project: str, file_id: str) -> FileRow | None:
        return await self._rows.file(project, file_id)

    async def files(self, project: str, query: PageQuery, purpose: str | None) -> FilePage:
        """Raises NotFound (param "after")."""
        return await self._rows.files(project, query, purpose)

    async def content(self, file: Found) -> bytes | None:
        """All its bytes; None when it was removed meanwhile."""
        try:
            return await self._blobs.read(file.id)
        except FileNotFoundError:
            return None

    def path(self, row: FileRow) -> Path:
        """Where its bytes lie."""
        return self._blobs.path(row.id)

    async def remove(self, project: str, file_id: str) -> bool:
        if not await self._rows.remove(project, file_id):
            return False
        await self._blobs.remove([file_id])
        return True

    # ---- uploads ----

    async def begin(self, project: str, about: About, mime_type: str, size: int) -> UploadRow:
        now = int(self._clock())
        row = UploadRow(
            id=new_upload_id(),
            created_at=now,
            expires_at=now + UPLOAD_SECONDS,
            filename=about.filename,
            purpose=about.purpose,
            mime_type=mime_type,
            size=size,
            file_seconds=about.seconds,
        )
        await self._rows.add_upload(project, row)
        return row

    async def upload(self, project: str, upload_id: str) -> UploadRow | None:
        return await self._rows.upload(project, upload_id)

    def is_over(self, upload: UploadRow) -> bool:
        """Whether its time is over."""
        return upload.expires_at <= self._clock()

    def arriving_part(self) -> AbstractAsyncContextManager[Arriving]:
        """Takes in the bytes of a part, for `add_part`."""
        return self._blobs.arriving(new_part_id())

    async def add_part(self, project: str, upload_id: str, arriving: Arriving) -> PartRow | None:
        """A part, whose bytes have all arrived. None: no such upload is pending."""
        blob = await arriving.finish()
        row = PartRow(arriving.name, int(self._clock()), blob.size)
        await arriving.keep()
        if not await self._rows.add_part(project, upload_id, row):
            await self._blobs.remove([row.id])
            return None
        return row

    async def complete(
        self, project: str, upload: UploadRow, part_ids: Sequence[str], md5: str | None
    ) -> FileRow | None:
        """The file that the parts are, in this order. None: the upload is not pending any more.

        Raises InvalidRequest when the parts are not what was announced.
        """
        parts = {part.id: part for part in await self._rows.parts(project, upload.id)}
        _check_parts(upload, part_ids, parts)
        about = About(upload.filename, upload.purpose, upload.file_seconds)
        async with self.arriving() as arriving:
            try:
                await self._blobs.join(part_ids, arriving)
            except FileNotFoundError:
                return None
            if md5 is not None and md5.lower() != (await arriving.finish()).md5:
                raise InvalidRequest(
                    "The md5 checksum does not match the bytes that were uploaded.",
                    param="md5",
                    code="invalid_value",
                )
            row = await self._filed(arriving, about)
            if not await self._rows.complete(project, upload.id, row):
                await self._blobs.remove([row.id])
                return None
        await self._blobs.remove(parts)
        return row

    async def cancel(self, project: str, upload_id: str) -> bool:
        """False: no such upload is pending."""
        parts = await self._rows.parts(project, upload_id)
        if not await self._rows.cancel(project, upload_id):
            return False
        await self._blobs.remove(part.id for part in parts)
        return True

    # ---- what is over ----

    async def sweep(self) -> None:
        """Remove what has expired, and bytes that nobody knows."""
        await self._blobs.remove(await self._rows.sweep())
        strangers = await self._blobs.strangers(STRANGER_SECONDS)
        await self._blobs.remove(set(strangers) - await self._rows.known(strangers))

    async def _filed(self, arriving: Arriving, about: About) -> FileRow:
        """The row of a file whose bytes have their place now."""
        blob = await arriving.finish()
        now = int(self._clock())
        seconds = BATCH_SECONDS if about.seconds is None and about.purpose == "batch" else about.seconds
        row = FileRow(
            id=arriving.name,
            created_at=now,
            filename=about.filename,
            purpose=about.purpose,
            size=blob.size,
            sha256=blob.sha256,
            expires_at=None if seconds is None else now + seconds,
        )
        await arriving.keep()
        return row


def _check_parts(upload: UploadRow, part_ids: Sequence[str], parts: dict[str, PartRow]) -> None:
    seen: set[str] = set()
    for index, part_id in enumerate(part_ids):
        if part_id not in parts or part_id in seen:
            wrong = "is named twice" if part_id in parts else f"is no part of upload '{upload.id}'"
            raise InvalidRequest(
                f"Part '{part_id}' {wrong}.", param=f"part_ids[{index}]", code="invalid_value"
            )
        seen.add(part_id)
    size = sum(parts[part_id].size for part_id in part_ids)
    if size != upload.size:
        raise InvalidRequest(
            f"The parts have {size} bytes, but {upload.size} were announced.",
            param="part_ids",
            code="invalid_value",
        )
