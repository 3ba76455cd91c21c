"""Bodies in, JSON out."""

import re

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response as HttpResponse

from antiphon.api.disconnect import Disconnected
from antiphon.api.encoding import unpack
from antiphon.protocol.error_messages import brief
from antiphon.protocol.errors import InvalidRequest, TooLarge
from antiphon.protocol.wire import encode

_JSON = re.compile(r"\s*application/([\w.-]+\+)?json\s*(;|$)", re.ASCII | re.IGNORECASE).match


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body, unpacked. Raises TooLarge past `limit` bytes, before it is read when its length is
    known; InvalidRequest when it does not say that it is JSON, or cannot be unpacked."""
    _check_type(request)
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise _too_large(limit)
            chunks.append(chunk)
    except ClientDisconnect:
        raise Disconnected from None
    body = b"".join(chunks)
    encoding = request.headers.get("content-encoding")
    return unpack(body, encoding, limit) if encoding else body


def _check_type(request: Request) -> None:
    """A browser lets every web page send a body of another type anywhere without asking first. Raises
    InvalidRequest."""
    headers = request.headers
    given = headers.get("content-type", "")
    if _JSON(given) or not ("transfer-encoding" in headers or headers.get("content-length", "0") != "0"):
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


def json(value: object, status: int = 200) -> HttpResponse:
    """An answer in JSON."""
    return HttpResponse(encode(value), status, media_type="application/json")
