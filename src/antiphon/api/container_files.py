"""/v1/containers/{id}/files (endpoints.md section 5)."""

from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api import pages, parsing
from antiphon.api.body import json
from antiphon.api.containers import asked_id, not_found, refusals
from antiphon.api.downloads import download
from antiphon.api.form import read_form
from antiphon.api.services import project, services
from antiphon.protocol import error_messages
from antiphon.protocol.containers import AddContainerFile, ContainerFile
from antiphon.protocol.errors import NotFound
from antiphon.store.container_files import ContainerFileRow

_ATTEMPTS = 3
"""To open a file whose content is replaced again and again."""


async def create(request: Request) -> HttpResponse:
    """POST /containers/{id}/files: a form with the file, or the id of one that was uploaded before."""
    container_id = asked_id(request)
    with refusals():
        await services(request).containers.check(project(request), container_id)
        if request.headers.get("content-type", "").lower().startswith("multipart/"):
            row = await _uploaded(request, container_id)
        else:
            row = await _copied(request, container_id)
    return json(shown(row, container_id))


async def list_files(request: Request) -> HttpResponse:
    """GET /containers/{id}/files"""
    container_id = asked_id(request)
    query = pages.page_query(request.query_params)
    held = services(request)
    with refusals():
        await held.containers.check(project(request), container_id)
    page = await held.store.container_files.page(project(request), container_id, query)
    if page is None:
        raise not_found()
    return pages.show_rows(page, lambda row: shown(row, container_id))


async def retrieve(request: Request) -> HttpResponse:
    """GET /containers/{id}/files/{file_id}"""
    return json(shown(await _stored(request), asked_id(request)))


async def delete(request: Request) -> HttpResponse:
    """DELETE /containers/{id}/files/{file_id}"""
    row = await _stored(request)
    if not await services(request).containers.storage.remove(project(request), asked_id(request), row.id):
        raise _file_not_found(row.id)
    return json({"id": row.id, "object": "container.file.deleted", "deleted": True})


async def content(request: Request) -> HttpResponse:
    """GET /containers/{id}/files/{file_id}/content: the bytes."""
    storage = services(request).containers.storage
    for _ in range(_ATTEMPTS):
        row = await _stored(request)
        with suppress(FileNotFoundError):
            return download(await storage.open(row.blob), row.path.rpartition("/")[2])
    raise _file_not_found(request.path_params["file_id"])


async def _uploaded(request: Request, container_id: str) -> ContainerFileRow:
    held = services(request)
    usage, room = held.store.usage, held.containers
    await usage.check(project(request))
    async with room.storage.incoming() as incoming:
        form = await read_form(request, "file", incoming, held.config.limits.file_bytes)
        for name in form.fields:
            if not held.config.server.lenient:
                raise error_messages.unknown(name)
        await usage.check(project(request), incoming.size)
        return await room.upload(project(request), container_id, form.filename, incoming)


async def _copied(request: Request, container_id: str) -> ContainerFileRow:
    asked = await parsing.read_as(request, AddContainerFile)
    return await services(request).containers.copy(project(request), container_id, asked.file_id)


async def _stored(request: Request) -> ContainerFileRow:
    container_id, file_id = asked_id(request), request.path_params["file_id"]
    held = services(request)
    with refusals():
        await held.containers.check(project(request), container_id)
    row = await held.store.container_files.get(project(request), container_id, file_id)
    if row is None:
        raise _file_not_found(file_id)
    return row


def _file_not_found(file_id: str) -> NotFound:
    return NotFound(f"Container file '{error_messages.brief(file_id)}' not found.")


def shown(row: ContainerFileRow, container_id: str) -> ContainerFile:
    """The file object of a container."""
    return ContainerFile(
        id=row.id,
        container_id=container_id,
        created_at=row.created_at,
        bytes=row.size,
        path=row.path,
        source=row.source,
    )


_ALL = "/v1/containers/{container_id}/files"
_ONE = f"{_ALL}/{{file_id}}"

routes = [
    Route(_ALL, create, methods=["POST"]),
    Route(_ALL, list_files, methods=["GET"]),
    Route(_ONE, retrieve, methods=["GET"]),
    Route(_ONE, delete, methods=["DELETE"]),
    Route(f"{_ONE}/content", content, methods=["GET"]),
]
