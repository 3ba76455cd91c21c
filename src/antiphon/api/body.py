"""Bodies in, JSON out."""

from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.encoding import unpack
from antiphon.protocol.errors import TooLarge
from antiphon.protocol.wire import encode


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, unpacked. Raises TooLarge past `limit` bytes, before it is read when its length is
    known; InvalidRequest when it cannot be unpacked."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    body = b"".join(chunks)
    encoding = request.headers.get("content-encoding")
    return unpack(body, encoding, limit) if encoding else body


def _too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request body is larger than {limit} bytes.", code="request_too_large")


def json(value: object, status: int = 200) -> HttpResponse:
    """An answer in JSON."""
    return HttpResponse(encode(value), status, media_type="application/json")
