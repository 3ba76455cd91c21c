"""Bodies in, JSON out."""

import asyncio
import re
from collections.abc import Awaitable, Sequence

from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.types import Message, Receive, Scope, Send

from antiphon.api.disconnect import Disconnected
from antiphon.api.encoding import unpack, unpacked_size
from antiphon.api.held import hold, let_go
from antiphon.protocol.error_messages import brief
from antiphon.protocol.errors import InvalidRequest, TooLarge, TooSlow
from antiphon.protocol.wire import encode

SECONDS = 600.0
"""In this time a body must have arrived."""
_SMALL = 64 * 1024
HEAD = "head"
"""The member of a request's scope that has its headers by their names: of several the last."""

_USUAL = b"application/json"
_JSON = re.compile(r"\s*application/([\w.-]+\+)?json\s*(;|$)", re.ASCII | re.IGNORECASE).match


def read_body(request: Request, limit: int) -> Awaitable[bytes]:
    """The whole body, unpacked; it is held until the request is answered. Raises TooLarge past `limit` bytes,
    before it is read when its length is known; Unavailable when other bodies leave no room; InvalidRequest
    when it does not say that it is JSON, or cannot be unpacked."""
    _check_type(request)
    return read_any_body(request, limit)


async def read_any_body(request: Request, limit: int) -> bytes:
    """The same, whatever it says that it is."""
    head = request.scope[HEAD]
    declared = head.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    body, more = _piece(request, await request.receive())
    if len(body) > limit:
        raise _too_large(limit)
    if more:
        body = await _continued(request, body, limit)
    encoding = head.get(b"content-encoding")
    return await _unpacked(request, body, encoding.decode("latin-1"), limit) if encoding else body


async def _continued(request: Request, body: bytes, limit: int) -> bytes:
    """Most bodies come in one piece; the others have their time."""
    chunks, size, more = [body], len(body), True
    try:
        async with asyncio.timeout(SECONDS):
            while more:
                chunk, more = _piece(request, await request.receive())
                chunks.append(chunk)
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
    except TimeoutError:
        raise TooSlow("Your request took too long to arrive.", code="request_timeout") from None
    return b"".join(chunks)


def _piece(request: Request, message: Message) -> tuple[bytes, bool]:
    """A piece of the body, and whether there are more. Raises Disconnected, or Unavailable."""
    if message["type"] == "http.disconnect":
        raise Disconnected
    chunk: bytes = message.get("body", b"")
    hold(request.scope, len(chunk))
    return chunk, message.get("more_body", False)


async def _unpacked(request: Request, body: bytes, encoding: str, limit: int) -> bytes:
    """Room is made for all that may come out, and what did not is given back. Large bodies have a thread."""
    most = unpacked_size(len(body), limit)
    let_go(request.scope, len(body))
    hold(request.scope, most)
    if len(body) > _SMALL:
        unpacked = await asyncio.to_thread(unpack, body, encoding, most)
    else:
        unpacked = unpack(body, encoding, most)
    let_go(request.scope, most - len(unpacked))
    return unpacked


def _check_type(request: Request) -> None:
    """A browser lets every web page send a body of another type anywhere without asking first. Raises
    InvalidRequest."""
    head = request.scope[HEAD]
    said = head.get(b"content-type", b"")
    if said == _USUAL:
        return
    given = said.decode("latin-1")
    if _JSON(given) or not (b"transfer-encoding" in head or head.get(b"content-length", b"0") != b"0"):
        return
    shown = brief(given)
    raise InvalidRequest(
        f"Unsupported content type: '{shown}'. This API method only accepts 'application/json' requests, but "
        f"you specified the header 'Content-Type: {shown}'. Please try again with a supported content type. "
        "(HINT: curl takes -H 'Content-Type: application/json'.)",
        code="unsupported_content_type",
    )


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request body is larger than {limit} bytes.", code="request_too_large")


class _Json(HttpResponse):
    """Its headers are written once, not put together for each answer, and all of it goes in one message
    (`Cycle`)."""

    background = None

    def __init__(self, body: bytes, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        self.status_code = status
        self.body = body
        self.raw_headers = [(b"content-type", _USUAL), *headers]

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:  # type: ignore[override]
        start, status = "http.response.start", self.status_code
        return send({"type": start, "status": status, "headers": self.raw_headers, "body": self.body})


def json(value: object, status: int = 200, headers: Sequence[tuple[bytes, bytes]] = ()) -> HttpResponse:
    """An answer in JSON."""
    return _Json(encode(value), status, headers)
