"""How WebSockets are opened, and how that is refused.

What the library behind uvicorn would refuse in words of its own, or not at all, is found before it is asked.
"""

import base64
import binascii
from collections.abc import Sequence

from websockets.http11 import MAX_LINE_LENGTH, MAX_NUM_HEADERS

from antiphon.protocol.errors import ApiError, HeadersTooLarge, InvalidRequest

_VERSION = b"13"


def handshake_fault(method: str, headers: Sequence[tuple[bytes, bytes]]) -> ApiError | None:
    """What is wrong with it; nothing: None."""
    longest = max(len(name) + len(value) for name, value in headers) + 4
    if longest > MAX_LINE_LENGTH or len(headers) > MAX_NUM_HEADERS:
        return HeadersTooLarge(
            f"To open a WebSocket, send at most {MAX_NUM_HEADERS} headers of {MAX_LINE_LENGTH} bytes.",
            code="headers_too_large",
        )
    values = dict(headers)
    if method != "GET" or values.get(b"sec-websocket-version") != _VERSION or not _is_key(headers):
        return InvalidRequest(
            "To open a WebSocket, send GET with Sec-WebSocket-Version: 13 and a Sec-WebSocket-Key.",
            code="invalid_handshake",
        )
    return None


def _is_key(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    keys = [value for name, value in headers if name == b"sec-websocket-key"]
    try:
        return len(keys) == 1 and len(base64.b64decode(keys[0], validate=True)) == 16
    except binascii.Error:
        return False
