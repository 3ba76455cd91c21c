"""/v1/uploads (endpoints.md section 3): files that arrive in parts."""

from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api import files
from antiphon.api.body import json
from antiphon.api.form import read_form
from antiphon.api.parsing import read_as
from antiphon.api.services import project, services
from antiphon.protocol import error_messages
from antiphon.protocol.errors import InvalidRequest, NotFound
from antiphon.protocol.files import MAX_PART, CompleteUpload, NewUpload, Upload, UploadPart
from antiphon.store.file_storage import About
from antiphon.store.files import FileRow, UploadRow


async def create(request: Request) -> HttpResponse:
    """POST /uploads"""
    held = services(request)
    asked = await read_as(request, NewUpload)
    await held.store.usage.check(project(request), asked.bytes)
    seconds = asked.expires_after.seconds if asked.expires_after else None
    about = About(files.filename(asked.filename), asked.purpose, seconds)
    row = await held.files.begin(project(request), about, asked.mime_type, asked.bytes)
    return json(_show(row, "pending"))


async def add_part(request: Request) -> HttpResponse:
    """POST /uploads/{id}/parts"""
    held = services(request)
    upload = await _pending(request)
    async with held.files.incoming_part() as incoming:
        form = await read_form(request, "data", incoming, MAX_PART)
        for name in form.fields:
            if not held.config.server.lenient:
                raise error_messages.unknown(name)
        await held.store.usage.check(project(request), incoming.size)
        row = await held.files.add_part(project(request), upload.id, incoming)
    if row is None:
        raise _closed(upload.id)
    return json(UploadPart(id=row.id, created_at=row.created_at, upload_id=upload.id))


async def complete(request: Request) -> HttpResponse:
    """POST /uploads/{id}/complete"""
    held = services(request)
    asked = await read_as(request, CompleteUpload)
    upload = await _pending(request)
    file = await held.files.complete(project(request), upload, asked.part_ids, asked.md5)
    if file is None:
        raise _closed(upload.id)
    return json(_show(upload, "completed", file))


async def cancel(request: Request) -> HttpResponse:
    """POST /uploads/{id}/cancel"""
    upload = await _pending(request)
    if not await services(request).files.cancel(project(request), upload.id):
        raise _closed(upload.id)
    return json(_show(upload, "cancelled"))


async def _pending(request: Request) -> UploadRow:
    """The upload, which is still open. Raises NotFound or InvalidRequest."""
    upload_id = request.path_params["upload_id"]
    storage = services(request).files
    upload = await storage.upload(project(request), upload_id)
    if upload is None:
        raise NotFound(f"No such Upload object: {upload_id}", param="id")
    if upload.status != "pending" or storage.is_over(upload):
        raise _closed(upload_id, "expired" if upload.status == "pending" else upload.status)
    return upload


def _show(row: UploadRow, status: str, file: FileRow | None = None) -> Upload:
    return Upload(
        id=row.id,
        bytes=row.size,
        created_at=row.created_at,
        expires_at=row.expires_at,
        filename=row.filename,
        purpose=row.purpose,
        status=status,  # type: ignore[arg-type]
        file=files.show(file) if file else None,
    )


def _closed(upload_id: str, status: str = "not pending") -> InvalidRequest:
    return InvalidRequest(f"Upload '{upload_id}' is {status}.", param="id", code="upload_not_pending")


_ONE = "/v1/uploads/{upload_id}"

routes = [
    Route("/v1/uploads", create, methods=["POST"]),
    Route(f"{_ONE}/parts", add_part, methods=["POST"]),
    Route(f"{_ONE}/complete", complete, methods=["POST"]),
    Route(f"{_ONE}/cancel", cancel, methods=["POST"]),
]
