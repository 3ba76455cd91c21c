"""Pictures, decoded: what is in them, and smaller ones made of them.

This runs in a child process with limits (`guard.pool`) and nowhere else. Decoders are native code that meets
the files of strangers, and their library takes memory that the server itself need not have.
"""

from io import BytesIO
from typing import Any, Literal

from msgspec import Struct

MOST = 64_000_000
"""Pixels of a picture that is decoded: 8,000 by 8,000."""
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
_GLANCE = 8
"""A JPEG is looked at in an eighth of its size, which reads all of its data with the least work."""
_QUALITY = 85
_SEVERAL = "MPO"
"""A JPEG with more pictures behind the first, as cameras of phones write it: those are not shown."""
_WRITTEN: dict[str, dict[str, Any]] = {
    "JPEG": {"format": "JPEG", "quality": _QUALITY},
    _SEVERAL: {"format": "JPEG", "quality": _QUALITY},
    "WEBP": {"format": "WEBP", "quality": _QUALITY},
}
"""How pictures of a format are written; others are PNGs."""


class Seen(Struct, frozen=True, array_like=True):
    """What is in a picture. One that has too many pixels is not decoded."""

    width: int = 0
    height: int = 0
    transparent: bool = False
    """Whether its pixels may be transparent."""
    fault: Literal["invalid_image", "image_parse_error"] | None = None
    """`invalid_image`: it is none. `image_parse_error`: its pixels cannot be read."""

    @property
    def too_large(self) -> bool:
        return self.width * self.height > MOST


def seen(data: bytes) -> Seen:
    """A look at a picture, all of which is decoded."""
    try:
        picture = _opened(data)
    except Exception:  # noqa: BLE001 - whatever decoders raise, it means the same
        return Seen(fault="invalid_image")
    width, height = picture.size
    found = Seen(width, height, picture.mode in _ALPHA or "transparency" in picture.info)
    if found.too_large:
        return found
    try:
        picture.draft("RGB", (width // _GLANCE or 1, height // _GLANCE or 1))
        picture.load()
    except Exception:  # noqa: BLE001 - as above
        return Seen(width, height, fault="image_parse_error")
    return found


def resized(data: bytes, width: int, height: int) -> bytes:
    """The picture in another size, upright. Empty for one that would lose what it shows: one that moves, or
    whose colours are finer than usual."""
    picture = _opened(data)
    moves = getattr(picture, "is_animated", False) and picture.format != _SEVERAL
    if moves or picture.mode.startswith(("I", "F")):
        return b""
    from PIL import ImageOps

    written = _WRITTEN.get(picture.format, {"format": "PNG"})
    picture.draft("RGB", (width, height))
    small = _plain(picture).resize((width, height), reducing_gap=3.0)
    out = BytesIO()
    ImageOps.exif_transpose(small).save(out, **written)
    return out.getvalue()


def _opened(data: bytes) -> Any:
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # they are counted here
    return Image.open(BytesIO(data), formats=_FORMATS)


def _plain(picture: Any) -> Any:
    """In a mode that can be scaled and written."""
    if picture.mode in ("L", "RGB", "RGBA"):
        return picture
    transparent = picture.mode in _ALPHA or "transparency" in picture.info
    return picture.convert("RGBA" if transparent else "RGB")
