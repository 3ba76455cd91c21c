"""A server that speaks the hub's endpoints: the list of a repository's files, and their content, to which it
redirects at another host, as the hub does with large files.

What it sends can be cut, changed or refused, and what it was asked is kept.
"""

import hashlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from tests.served import Served

COMMIT = "9f3c" * 10


@dataclass
class Script:
    """What goes wrong, and what was asked."""

    files: Mapping[str, bytes]
    repo: str = "owner/tiny-GGUF"
    cuts: list[int] = field(default_factory=list)
    """After so many bytes each of the next answers ends, though more was promised."""
    refusals: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Statuses and headers of the next lists."""
    busy: int = 0
    """How many of the next answers with content are 503."""
    damaged: int = 0
    """How many of the next answers have other bytes than they should."""
    ignores_ranges: bool = False
    asked: list[str] = field(default_factory=list)
    """Paths of the hub."""
    ranges: list[str] = field(default_factory=list)
    """Of the other host, the header Range; empty where there was none."""
    tokens: dict[str, set[str]] = field(default_factory=lambda: {"hub": set(), "store": set()})
    """Headers Authorization, by the host that got them."""


@dataclass
class Hub:
    url: str
    script: Script


@contextmanager
def hub_of(files: Mapping[str, bytes]) -> Iterator[Hub]:
    """A hub whose one repository has these files."""
    script = Script(files)
    with (
        Served(_store(script), log_level="critical") as store,
        Served(_hub(script, store.url), log_level="error") as hub,
    ):
        yield Hub(hub.url, script)


def _hub(script: Script, store: str) -> Starlette:
    async def info(request: Request) -> Response:
        script.tokens["hub"].add(request.headers.get("Authorization", ""))
        script.asked.append(request.url.path)
        if script.refusals:
            status, headers = script.refusals.pop(0)
            return JSONResponse({"error": "no"}, status, headers)
        if request.path_params["repo"] != script.repo:
            return JSONResponse({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        if request.path_params["revision"] not in ("main", COMMIT):
            return JSONResponse({"error": "Invalid rev id"}, 404, {"X-Error-Code": "RevisionNotFound"})
        assert request.query_params["blobs"] == "true"
        return JSONResponse({"id": script.repo, "sha": COMMIT, "siblings": [*_siblings(script)]})

    async def resolve(request: Request) -> Response:
        script.tokens["hub"].add(request.headers.get("Authorization", ""))
        script.asked.append(request.url.path)
        return RedirectResponse(f"{store}/{request.path_params['name']}", 302)

    return Starlette(
        routes=[
            Route("/api/models/{repo:path}/revision/{revision}", info),
            Route(f"/{{repo:path}}/resolve/{COMMIT}/{{name:path}}", resolve),
        ]
    )


def _siblings(script: Script) -> Iterator[dict[str, object]]:
    yield {"rfilename": "README.md", "size": 5, "blobId": "a" * 40}
    for name, content in script.files.items():
        digest = hashlib.sha256(content).hexdigest()
        lfs = {"sha256": digest, "size": len(content), "pointerSize": 134}
        yield {"rfilename": name, "size": len(content), "blobId": "b" * 40, "lfs": lfs}


def _store(script: Script) -> Starlette:
    async def content(request: Request) -> Response:
        script.tokens["store"].add(request.headers.get("Authorization", ""))
        asked = request.headers.get("Range", "")
        script.ranges.append(asked)
        if script.busy:
            script.busy -= 1
            return Response("later", 503, {"Retry-After": "0"})
        whole = script.files[request.path_params["name"]]
        begin = 0 if script.ignores_ranges or not asked else int(asked.removeprefix("bytes=").rstrip("-"))
        if begin >= len(whole):
            return Response(status_code=416)
        sent = whole[begin:]
        if script.damaged:
            script.damaged -= 1
            sent = bytes(byte ^ 0xFF for byte in sent)
        headers = {"Content-Length": str(len(sent))}
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(whole) - 1}/{len(whole)}"
        cut = script.cuts.pop(0) if script.cuts else len(sent)
        return StreamingResponse(_cut(sent, cut), 206 if begin else 200, headers)

    return Starlette(routes=[Route("/{name:path}", content)])


async def _cut(content: bytes, cut: int) -> AsyncIterator[bytes]:
    """A server that ends too early breaks the connection."""
    for begin in range(0, min(cut, len(content)), 65_536):
        yield content[begin : min(begin + 65_536, cut)]
    if cut < len(content):
        raise _Broken


class _Broken(Exception):
    """Ends an answer in the middle."""
