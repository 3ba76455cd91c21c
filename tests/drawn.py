"""Pictures for tests, as real programs write them."""

from io import BytesIO
from typing import Any

from PIL import Image


def drawn(width: int, height: int, form: str = "PNG", mode: str = "RGB", **options: Any) -> bytes:
    """A picture that is darker on one side, and transparent in a corner if it can be."""
    picture = Image.linear_gradient("L").resize((width, height)).convert(mode)
    if mode == "RGBA":
        picture.putpixel((0, 0), (0, 0, 0, 0))
    written = BytesIO()
    picture.save(written, form, **options)
    return written.getvalue()


def opened(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height of a picture."""
    return opened(data).size


def bomb(side: int) -> bytes:
    """A small PNG with very many pixels, all of one colour."""
    written = BytesIO()
    Image.new("1", (side, side)).save(written, "PNG", compress_level=9)
    return written.getvalue()
