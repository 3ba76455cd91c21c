"""/v1/files (endpoints.md section 3)."""

import re
from typing import Any

from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api import pages
from antiphon.api.body import json
from antiphon.api.downloads import download
from antiphon.api.form import Form, read_form
from antiphon.api.services import project, services
from antiphon.protocol.errors import NotFound
from antiphon.protocol.files import File, NewFile
from antiphon.protocol.parse import parse
from antiphon.protocol.wire import encode
from antiphon.store.file_storage import About
from antiphon.store.files import FileRow

MAX_LIMIT = 10_000
_MEMBER = re.compile(r"(\w+)\[(\w+)\]").fullmatch


async def create(request: Request) -> HttpResponse:
    """POST /files"""
    held = services(request)
    limits, server = held.config.limits, held.config.server
    await held.store.usage.check(project(request))
    async with held.files.incoming() as incoming:
        form = await read_form(request, "file", incoming, limits.file_bytes)
        asked = parse(encode(_nested(form)), NewFile, server.lenient)
        seconds = asked.expires_after.seconds if asked.expires_after else None
        about = About(filename(form.filename), asked.purpose, seconds)
        await held.store.usage.check(project(request), incoming.size)
        row = await held.files.add(project(request), incoming, about)
    return json(show(row))


async def list_files(request: Request) -> HttpResponse:
    """GET /files"""
    query = pages.page_query(request.query_params, ("purpose",), default=MAX_LIMIT, most=MAX_LIMIT)
    purpose = request.query_params.get("purpose")
    page = await services(request).files.files(project(request), query, purpose)
    return pages.show_rows(page, show)


async def retrieve(request: Request) -> HttpResponse:
    """GET /files/{id}"""
    return json(show(await _stored(request)))


async def delete(request: Request) -> HttpResponse:
    """DELETE /files/{id}"""
    file_id = request.path_params["file_id"]
    if not await services(request).files.remove(project(request), file_id):
        raise _not_found(file_id)
    return json({"id": file_id, "object": "file", "deleted": True})


async def content(request: Request) -> HttpResponse:
    """GET /files/{id}/content: the bytes, for whatever purpose the file is here."""
    row = await _stored(request)
    try:
        return download(await services(request).files.open(row), row.filename)
    except FileNotFoundError:
        raise _not_found(row.id) from None


def show(row: FileRow) -> File:
    """The File object."""
    return File(
        id=row.id,
        bytes=row.size,
        created_at=row.created_at,
        expires_at=row.expires_at,
        filename=row.filename,
        purpose=row.purpose,
    )


def filename(given: str) -> str:
    """A name without a path, and without what no name should have."""
    name = re.split(r"[/\\]", given)[-1]
    return "".join(letter for letter in name if letter.isprintable()).strip()[:255] or "file"


async def _stored(request: Request) -> FileRow:
    file_id = request.path_params["file_id"]
    row = await services(request).files.file(project(request), file_id)
    if row is None:
        raise _not_found(file_id)
    return row


def _not_found(file_id: str) -> NotFound:
    return NotFound(f"No such File object: {file_id}", param="id")


def _nested(form: Form) -> dict[str, Any]:
    """The fields as JSON: `expires_after[seconds]` is a member of an object, and a number."""
    found: dict[str, Any] = {}
    for name, value in form.fields.items():
        member = _MEMBER(name)
        if member is None:
            found[name] = value
        else:
            number = member[2] == "seconds" and re.fullmatch("-?[0-9]{1,18}", value)
            if not isinstance(found.get(member[1]), dict):
                found[member[1]] = {}
            found[member[1]][member[2]] = int(value) if number else value
    return found


_ONE = "/v1/files/{file_id}"

routes = [
    Route("/v1/files", create, methods=["POST"]),
    Route("/v1/files", list_files, methods=["GET"]),
    Route(_ONE, retrieve, methods=["GET"]),
    Route(_ONE, delete, methods=["DELETE"]),
    Route(f"{_ONE}/content", content, methods=["GET"]),
]
