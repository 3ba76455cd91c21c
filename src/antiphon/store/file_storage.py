"""Files whole: their rows and their bytes.

The bytes come first and the row last, and a row goes before its bytes do: so whoever finds a row finds the
bytes, and a crash leaves at most orphans, bytes that no row knows. `sweep` removes those, and what has
expired.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from antiphon.protocol.ids import new_file_id, new_part_id, new_upload_id
from antiphon.store.blobs import Blobs, IncomingBlob, OpenedBlob, pieces
from antiphon.store.errors import BadPart, WrongChecksum, WrongSize
from antiphon.store.files import FileRow, Files, PartRow, UploadRow
from antiphon.store.paging import Page, PageQuery

BATCH_SECONDS = 30 * 86400
"""Files for batches are kept so long when nothing else is said."""
UPLOAD_SECONDS = 3600
"""An upload has to be completed in so long."""
ORPHAN_SECONDS = 3600.0
"""Bytes that no row knows may still get one, if they are younger than this."""


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


class FileStorage:
    """The files and uploads of all projects."""

    def __init__(self, rows: Files, blobs: Blobs, clock: Callable[[], float] = time.time) -> None:
        self._rows = rows
        self._blobs = blobs
        self._clock = clock

    # ---- files ----

    def incoming(self) -> AbstractAsyncContextManager[IncomingBlob]:
        """Takes in the bytes of a file, for `add`."""
        return self._blobs.incoming(new_file_id())

    async def add(self, project: str, incoming: IncomingBlob, about: About) -> FileRow:
        """A file, whose bytes have all come in."""
        row = await self._filed(incoming, about)
        await self._rows.add(project, row)
        return row

    async def file(self, project: str, file_id: str) -> FileRow | None:
        return await self._rows.get(project, file_id)

    async def files(self, project: str, query: PageQuery, purpose: str | None) -> Page[FileRow]:
        """Raises UnknownCursor."""
        return await self._rows.page(project, query, purpose)

    async def content(self, file: Found) -> bytes | None:
        """All its bytes; None when it was removed meanwhile."""
        try:
            return await self._blobs.read(file.id)
        except FileNotFoundError:
            return None

    async def open(self, file: Found) -> OpenedBlob:
        """Raises FileNotFoundError when it was removed meanwhile."""
        return await self._blobs.open(file.id)

    def as_file(self, file: Found) -> AbstractAsyncContextManager[Path]:
        """For who needs a path. Raises FileNotFoundError when it was removed meanwhile."""
        return self._blobs.as_file(file.id)

    async def remove(self, project: str, file_id: str) -> bool:
        if not await self._rows.delete(project, file_id):
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

    def incoming_part(self) -> AbstractAsyncContextManager[IncomingBlob]:
        """Takes in the bytes of a part, for `add_part`."""
        return self._blobs.incoming(new_part_id())

    async def add_part(self, project: str, upload_id: str, incoming: IncomingBlob) -> PartRow | None:
        """A part, whose bytes have all come in. None: no such upload is pending."""
        blob = await incoming.finish()
        row = PartRow(incoming.name, int(self._clock()), blob.size)
        await incoming.keep()
        if not await self._rows.add_part(project, upload_id, row):
            await self._blobs.remove([row.id])
            return None
        return row

    async def complete(
        self, project: str, upload: UploadRow, part_ids: Sequence[str], md5: str | None
    ) -> FileRow | None:
        """The file that the parts are, in this order. None: the upload is not pending any more.

        Raises BadPart, WrongSize or WrongChecksum when the parts are not what was announced.
        """
        parts = {part.id: part for part in await self._rows.parts(project, upload.id)}
        _check_parts(upload, part_ids, parts)
        about = About(upload.filename, upload.purpose, upload.file_seconds)
        async with self.incoming() as incoming:
            try:
                await self._join(part_ids, incoming)
            except FileNotFoundError:
                return None
            if md5 is not None and md5.lower() != (await incoming.finish()).md5:
                raise WrongChecksum
            row = await self._filed(incoming, about)
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
        """Remove what has expired, and bytes that no row knows."""
        await self._blobs.remove(await self._rows.sweep())
        async for old in self._blobs.orphans(ORPHAN_SECONDS):
            await self._blobs.remove(set(old) - await self._rows.known(old))

    async def _join(self, names: Sequence[str], into: IncomingBlob) -> None:
        """Raises FileNotFoundError."""
        for name in names:
            async for piece in pieces(self._blobs, name):
                await into.write(piece)

    async def _filed(self, incoming: IncomingBlob, about: About) -> FileRow:
        """The row of a file whose bytes have their place now."""
        blob = await incoming.finish()
        now = int(self._clock())
        seconds = BATCH_SECONDS if about.seconds is None and about.purpose == "batch" else about.seconds
        row = FileRow(
            id=incoming.name,
            created_at=now,
            filename=about.filename,
            purpose=about.purpose,
            size=blob.size,
            sha256=blob.sha256,
            expires_at=None if seconds is None else now + seconds,
        )
        await incoming.keep()
        return row


def _check_parts(upload: UploadRow, part_ids: Sequence[str], parts: dict[str, PartRow]) -> None:
    seen: set[str] = set()
    for index, part_id in enumerate(part_ids):
        if part_id not in parts:
            raise BadPart(upload.id, part_id, index, "unknown")
        if part_id in seen:
            raise BadPart(upload.id, part_id, index, "repeated")
        seen.add(part_id)
    size = sum(parts[part_id].size for part_id in part_ids)
    if size != upload.size:
        raise WrongSize(size, upload.size)
