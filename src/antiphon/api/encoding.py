"""Request bodies that come compressed (Codex sends zstd): never more than the limit is unpacked."""

import sys
import zlib
from collections.abc import Callable
from typing import Protocol

from antiphon.protocol.errors import InvalidRequest, TooLarge, one_of

if sys.version_info >= (3, 14):
    from compression.zstd import ZstdDecompressor, ZstdError
else:
    from backports.zstd import ZstdDecompressor, ZstdError


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, /, max_length: int) -> bytes: ...


_ANY_HEADER = 32 + zlib.MAX_WBITS
"""Tells zlib to accept what gzip or zlib wrote, whichever it is."""

_DECOMPRESSORS: dict[str, Callable[[], _Decompressor]] = {
    "gzip": lambda: zlib.decompressobj(_ANY_HEADER),
    "deflate": lambda: zlib.decompressobj(_ANY_HEADER),
    "zstd": lambda: ZstdDecompressor(),
}


def unpack(body: bytes, encoding: str, limit: int) -> bytes:
    """The body as it was before a `Content-Encoding`. Raises TooLarge past `limit` bytes, InvalidRequest
    when it is damaged or the encoding is not known."""
    for name in reversed([name.strip().lower() for name in encoding.split(",")]):
        if name not in ("", "identity"):
            body = _unpack(body, name, limit)
    return body


def _unpack(body: bytes, name: str, limit: int) -> bytes:
    make = _DECOMPRESSORS.get(name)
    if make is None:
        known = one_of(tuple(_DECOMPRESSORS))
        raise InvalidRequest(f"Unknown Content-Encoding: '{name}'. Supported values are: {known}.")
    decompressor = make()
    try:
        unpacked = decompressor.decompress(body, max_length=limit + 1)
    except (zlib.error, ZstdError) as fault:
        raise InvalidRequest(f"The request body is not valid {name}.") from fault
    if len(unpacked) > limit:
        raise TooLarge(f"The request body is larger than {limit} bytes.", code="request_too_large")
    if not decompressor.eof:
        raise InvalidRequest(f"The request body is cut off: its {name} data does not end.")
    return unpacked
