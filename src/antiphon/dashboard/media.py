"""Pictures and files of responses, as a browser may have them.

They are strangers': what a picture is, its bytes say; texts are plain; all else is saved and not opened. None
of them is a page of ours, whatever is in it: each is sandboxed, without a script and an origin.
"""

from collections.abc import AsyncIterator
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.responses import StreamingResponse
from starlette.routing import Route

from antiphon.api.services import project, services
from antiphon.dashboard.addresses import MEDIA
from antiphon.protocol.errors import NotFound

_PICTURES = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_TEXTS = (".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".log", ".py", ".html", ".xml", ".yaml", ".toml")
POLICY = "sandbox; default-src 'none'; frame-ancestors 'none'"


async def data(request: Request) -> HttpResponse:
    """GET /dashboard/media/data/{sha256}"""
    sha256 = request.path_params["sha256"]
    is_one = len(sha256) == 64 and set(sha256) <= set("0123456789abcdef")
    found = await services(request).store.outline.data(project(request), sha256) if is_one else None
    if found is None:
        raise _gone()
    name = request.query_params.get("name", "")
    return HttpResponse(found, headers=_headers(found[:16], name, len(found)))


async def file(request: Request) -> HttpResponse:
    """GET /dashboard/media/files/{file_id}"""
    files = services(request).files
    row = await files.file(project(request), request.path_params["file_id"])
    if row is None:
        raise _gone()
    try:
        blob = await files.open(row)
    except FileNotFoundError:
        raise _gone() from None
    return await _streamed(blob.pieces(), row.filename, blob.size)


async def container_file(request: Request) -> HttpResponse:
    """GET /dashboard/media/containers/{container_id}/{file_id}"""
    held, names = services(request), request.path_params
    row = await held.store.container_files.get(project(request), names["container_id"], names["file_id"])
    if row is None:
        raise _gone()
    try:
        blob = await held.containers.storage.open(row.blob)
    except FileNotFoundError:
        raise _gone() from None
    return await _streamed(blob.pieces(), row.path.rpartition("/")[2], blob.size)


async def _streamed(pieces: AsyncIterator[bytes], name: str, size: int) -> HttpResponse:
    first = await anext(pieces, b"")

    async def all_pieces() -> AsyncIterator[bytes]:
        yield first
        async for piece in pieces:
            yield piece

    return StreamingResponse(all_pieces(), headers=_headers(first[:16], name, size))


def _headers(begin: bytes, name: str, size: int) -> dict[str, str]:
    kind = media_type(begin, name)
    shown = "attachment" if kind == "application/octet-stream" else "inline"
    return {
        "content-type": kind,
        "content-length": str(size),
        "content-disposition": f"{shown}; filename*=utf-8''{quote(name or 'data', safe='')}",
        "content-security-policy": POLICY,
        "cache-control": "private, max-age=3600",
    }


def media_type(begin: bytes, name: str) -> str:
    """What a browser is told that it is, by how it begins and by its name."""
    for magic, kind in _PICTURES.items():
        if begin.startswith(magic):
            return kind
    if begin[:4] == b"RIFF" and begin[8:12] == b"WEBP":
        return "image/webp"
    return "text/plain; charset=utf-8" if name.lower().endswith(_TEXTS) else "application/octet-stream"


def _gone() -> NotFound:
    return NotFound("This file is not here: it was deleted, or is kept no longer.")


routes = [
    Route(f"{MEDIA}/data/{{sha256}}", data, methods=["GET"]),
    Route(f"{MEDIA}/files/{{file_id}}", file, methods=["GET"]),
    Route(f"{MEDIA}/containers/{{container_id}}/{{file_id}}", container_file, methods=["GET"]),
]
