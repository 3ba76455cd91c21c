"""What the bytes of a picture say of it: its format, its size, and whether it has transparency."""

import struct
from typing import NamedTuple

from antiphon.retrieval.kinds import image_type

_JPEG_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of the segments that have a JPEG's size."""
_ALPHA = 0x10


class Facts(NamedTuple):
    format: str | None = None
    """As the API names it; None: it is no picture."""
    size: str | None = None
    opaque: bool | None = None
    """None: that would take a look at every pixel."""


def facts(data: bytes) -> Facts:
    kind = image_type(data)
    if kind is None:
        return Facts("svg") if _is_svg(data) else Facts()
    try:
        return _READ[kind](data)
    except (struct.error, IndexError):
        return Facts(kind.removeprefix("image/"))


def _is_svg(data: bytes) -> bool:
    start = data[:512].lstrip()
    return start.startswith(b"<svg") or (start.startswith(b"<?xml") and b"<svg" in start)


def _png(data: bytes) -> Facts:
    width, height, _, color = struct.unpack(">IIBB", data[16:26])
    return Facts("png", f"{width}x{height}", None if color in (3, 4, 6) else True)


def _gif(data: bytes) -> Facts:
    width, height = struct.unpack("<HH", data[6:10])
    return Facts("gif", f"{width}x{height}")


def _jpeg(data: bytes) -> Facts:
    place = 2
    while data[place] == 0xFF:
        marker, length = struct.unpack(">BH", data[place + 1 : place + 4])
        if marker in _JPEG_SIZES:
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return Facts("jpeg", f"{width}x{height}", True)
        place += 2 + length
    return Facts("jpeg", None, True)


def _webp(data: bytes) -> Facts:
    form = data[12:16]
    if form == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", data[26:30]))
        return Facts("webp", f"{width}x{height}", True)
    if form == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        opaque = None if bits >> 28 & 1 else True
        return Facts("webp", f"{(bits & 0x3FFF) + 1}x{(bits >> 14 & 0x3FFF) + 1}", opaque)
    width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    return Facts("webp", f"{width}x{height}", None if data[20] & _ALPHA else True)


_READ = {"image/png": _png, "image/gif": _gif, "image/jpeg": _jpeg, "image/webp": _webp}
