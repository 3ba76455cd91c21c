"""Files and uploads, as they go over the wire (endpoints.md section 3)."""

from typing import Annotated, Literal

from msgspec import Meta

from antiphon.protocol.wire import Wire, shown

MAX_UPLOAD = 8 * 2**30
MAX_PART = 64 * 2**20

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
Filename = Annotated[str, Meta(min_length=1, max_length=255)]


class ExpiresAfter(Wire):
    """How long a file is kept."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Meta(ge=3600, le=2_592_000)]


class NewFile(Wire, kw_only=True):
    """What the form of POST /files says of its file."""

    purpose: Purpose
    expires_after: ExpiresAfter | None = None


class NewUpload(Wire, kw_only=True):
    """The body of POST /uploads."""

    bytes: Annotated[int, Meta(ge=1, le=MAX_UPLOAD)]
    filename: Filename
    mime_type: Annotated[str, Meta(max_length=255)]
    purpose: Purpose
    expires_after: ExpiresAfter | None = None


class CompleteUpload(Wire):
    """The body of POST /uploads/{id}/complete."""

    part_ids: Annotated[list[str], Meta(min_length=1)]
    md5: str | None = None
    """In hexadecimal."""


class File(Wire, kw_only=True):
    """The File object."""

    id: str
    object: Literal["file"] = shown("file")
    bytes: int
    created_at: int
    expires_at: int | None = shown(None)
    filename: str
    purpose: str
    status: Literal["uploaded", "processed", "error"] = shown("processed")
    status_details: str | None = shown(None)


class Upload(Wire, kw_only=True):
    """The Upload object."""

    id: str
    object: Literal["upload"] = shown("upload")
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: Literal["pending", "completed", "cancelled", "expired"]
    file: File | None = shown(None)


class UploadPart(Wire, kw_only=True):
    """A part of an upload."""

    id: str
    object: Literal["upload.part"] = shown("upload.part")
    created_at: int
    upload_id: str
