"""Files, and uploads: files that arrive in parts. What is kept of them in rows; `blobs` keeps their bytes.

A file that has expired is not there any more for whoever asks; its row goes with the next `sweep`.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from antiphon.store.base import PageQuery


class FileRow(Struct, frozen=True):
    id: str
    created_at: int
    filename: str
    purpose: str
    size: int
    sha256: bytes
    expires_at: int | None = None


class FilePage(Struct, frozen=True):
    rows: Sequence[FileRow]
    more: bool


class UploadRow(Struct, frozen=True):
    id: str
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    mime_type: str
    size: int
    """How many bytes the file is to have."""
    file_seconds: int | None = None
    """How long the file is to be kept once it is whole."""
    status: Literal["pending", "completed", "cancelled"] = "pending"


class PartRow(Struct, frozen=True):
    id: str
    created_at: int
    size: int


class Files(Protocol):
    """Rows belong to a project. What is not there is None, or False."""

    async def add(self, project: str, row: FileRow) -> None: ...

    async def file(self, project: str, file_id: str) -> FileRow | None: ...

    async def files(self, project: str, query: PageQuery, purpose: str | None = None) -> FilePage:
        """By creation. Raises `errors.NotFound` (param "after") for an unknown `query.after`."""
        ...

    async def remove(self, project: str, file_id: str) -> bool: ...

    async def add_upload(self, project: str, row: UploadRow) -> None: ...

    async def upload(self, project: str, upload_id: str) -> UploadRow | None: ...

    async def add_part(self, project: str, upload_id: str, row: PartRow) -> bool:
        """False: no such upload is pending."""
        ...

    async def parts(self, project: str, upload_id: str) -> Sequence[PartRow]: ...

    async def complete(self, project: str, upload_id: str, row: FileRow) -> bool:
        """The upload is the file now, and its parts are gone. False: no such upload is pending."""
        ...

    async def cancel(self, project: str, upload_id: str) -> bool:
        """The upload's parts are gone. False: no such upload is pending."""
        ...

    async def sweep(self) -> Sequence[str]:
        """Forget, in every project, what has expired. Returns the ids of files and parts that are gone."""
        ...

    async def known(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that are files' or parts', whosesoever."""
        ...
