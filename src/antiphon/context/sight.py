"""How the images of one request reach its model: looked at before the model's server is asked, and made
smaller where the request wants that."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal, NoReturn

from antiphon.context.images import Given, data_url
from antiphon.guard.pool import Busy
from antiphon.protocol.errors import InvalidRequest, Unavailable
from antiphon.retrieval.kinds import image_type
from antiphon.retrieval.pictures import Bounds, Pictures, Seen
from antiphon.retrieval.pixels import MOST

Compression = Literal["enabled", "disabled"]

_PATCH: Final = 32 * 32
"""Pixels that count as one: OpenAI's models look at images in squares of 32 by 32."""
_HIGH: Final = Bounds(side=2_048, pixels=2_500 * _PATCH)
BOUNDS: Final = {
    "low": Bounds(side=512, pixels=512 * 512),
    "auto": _HIGH,
    "high": _HIGH,
    "original": Bounds(side=6_000, pixels=10_000 * _PATCH),
}
"""What each `detail` shows of an image, by OpenAI's guide to images and vision: more is not looked at."""

MOST_PIXELS = 8_000_000_000
"""Of all images of a request's context: some six hundred photos as phones take them."""

_FAULTS: Final = {
    "invalid_image": "The image data you provided does not represent a valid image. Please check your input "
    "and try again.",
    "image_parse_error": "You uploaded an unsupported image. Please make sure your image is valid: it begins "
    "as one, but its pixels cannot be read.",
}


class Sight:
    """`owner`: whose the images are. `smallest`: pixels of the shorter side that the model needs."""

    def __init__(self, pictures: Pictures, owner: str, smallest: int, compression: Compression) -> None:
        self._pictures = pictures
        self._owner = owner
        self._smallest = smallest
        self._compression = compression
        self._left = MOST_PIXELS

    async def url(self, given: Given, detail: str) -> str:
        """The image as the model gets it, a data URL. Raises InvalidRequest or Unavailable."""
        data = given.data
        with looking(given.param):
            seen = await self._pictures.look(data, self._owner)
            check(seen, given.param, self._smallest)
            self._take(seen.width * seen.height)
            if self._compression == "enabled":
                data = await self._pictures.within(data, BOUNDS[detail], self._owner)
        if data is given.data:
            return await asyncio.to_thread(given.as_url)
        return await asyncio.to_thread(data_url, data, image_type(data) or given.media_type)

    def _take(self, pixels: int) -> None:
        self._left -= pixels
        if self._left < 0:
            words = f"The images of this request have more than {MOST_PIXELS:,} pixels together."
            _refuse(words, "input", "request_too_large")


@contextmanager
def looking(param: str) -> Iterator[None]:
    """Where an image is looked at. Raises Unavailable when this machine has no time for it."""
    try:
        yield
    except Busy as fault:
        words = "This server is too busy to look at the image. Please try again later."
        raise Unavailable(words, param=param) from fault


def check(seen: Seen, param: str, smallest: int = 1) -> None:
    """Raises InvalidRequest for an image that a model cannot read."""
    if seen.fault is not None:
        _refuse(_FAULTS[seen.fault], param, seen.fault)
    size = f"{seen.width} x {seen.height} pixels"
    if seen.too_large:
        _refuse(f"The image has {size}. It can have {MOST:,} at most.", param, "image_too_large")
    if min(seen.width, seen.height) < smallest:
        words = f"The image has {size}. The model needs {smallest} on each side at least."
        _refuse(words, param, "image_too_small")


def check_mask(seen: Seen, param: str) -> None:
    """Raises InvalidRequest for an image that cannot say which part of another one changes."""
    if not seen.transparent:
        _refuse(
            "The mask has no alpha channel. Where it is transparent the image changes.",
            param,
            "invalid_image_mode",
        )


def _refuse(message: str, param: str, code: str) -> NoReturn:
    raise InvalidRequest(message, param=param, code=code)
