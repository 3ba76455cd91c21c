"""Request bodies that come compressed (Codex sends zstd): never more is unpacked than may come of them."""

import sys
import zlib
from collections.abc import Callable
from typing import Protocol

from antiphon.protocol.error_messages import brief
from antiphon.protocol.errors import InvalidRequest, TooLarge, one_of

if sys.version_info >= (3, 14):
    from compression.zstd import DecompressionParameter, ZstdDecompressor, ZstdError
else:
    from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, /, max_length: int) -> bytes: ...


_ANY_HEADER = 32 + zlib.MAX_WBITS
"""Has zlib accept what gzip or zlib wrote, whichever it is."""

_WINDOW_LOG = 23
"""A window of 8 MB, the largest that zstd may have on the web (RFC 9659): it is allocated at once."""
_RATIO = 100
_ANY_SIZE = 1024 * 1024
"""So much may come of a body whatever its size."""
_LAYERS = 3

_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    "gzip": lambda: zlib.decompressobj(_ANY_HEADER),
    "deflate": lambda: zlib.decompressobj(_ANY_HEADER),
    "zstd": lambda: ZstdDecompressor(options={DecompressionParameter.window_log_max: _WINDOW_LOG}),
}


def unpacked_size(size: int, limit: int) -> int:
    """How much may come out of a body of `size` bytes. Text that people and programs write shrinks to a tenth
    or less, not to a thousandth."""
    return min(limit, max(_ANY_SIZE, _RATIO * size))


def unpack(body: bytes, encoding: str, most: int) -> bytes:
    """The body as it was before a `Content-Encoding`. Raises TooLarge past `most` bytes, of which no more are
    unpacked; InvalidRequest when it is damaged or the encoding is not known."""
    names = [name.strip().lower() for name in encoding.split(",")]
    if len(names) > _LAYERS:
        raise InvalidRequest(f"A body can be encoded {_LAYERS} times at most.")
    for name in reversed(names):
        if name not in ("", "identity"):
            body = _unpack(body, name, most)
    return body


def _unpack(body: bytes, name: str, most: int) -> bytes:
    make = _DECOMPRESSORS.get(name)
    if make is None:
        known = one_of(tuple(_DECOMPRESSORS))
        raise InvalidRequest(f"Unknown Content-Encoding: '{brief(name)}'. Supported values are: {known}.")
    decompressor = make()
    try:
        unpacked = decompressor.decompress(body, max_length=most + 1)
    except (zlib.error, ZstdError) as fault:
        raise InvalidRequest(f"The request body is not valid {name}.") from fault
    if len(unpacked) > most:
        raise TooLarge(f"The request body unpacks to more than {most} bytes.", code="request_too_large")
    if not decompressor.eof:
        raise InvalidRequest(f"The request body is cut off: its {name} data does not end.")
    return unpacked
