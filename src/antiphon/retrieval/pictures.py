"""Pictures, looked at and made smaller."""

import hashlib
from math import sqrt

import msgspec
from msgspec import Struct

from antiphon.guard.offload import in_bytes, offload
from antiphon.guard.pool import Busy, Limits, Overrun, Pool
from antiphon.retrieval.pixels import Seen
from antiphon.retrieval.remembered import Remembered

__all__ = ["Bounds", "Pictures", "Seen"]

AT_ONCE = 2
"""Pictures that are decoded at the same time."""
SECONDS = 10.0
"""Of processor time, for a picture."""
_MEMORY = 2**30
_LOOKS = 10_000
"""How many looks are remembered."""
_SMALLER_BYTES = 32 * 2**20
"""Of smaller pictures that are remembered."""


class Bounds(Struct, frozen=True):
    """What a picture may have."""

    side: int
    """Pixels of its longer side."""
    pixels: int

    def fit(self, width: int, height: int) -> tuple[int, int]:
        """The size of a picture within them, in the same proportions."""
        scale = min(1.0, self.side / max(width, height), sqrt(self.pixels / (width * height)))
        return max(1, int(width * scale)), max(1, int(height * scale))


class Pictures:
    """Looks at pictures in child processes. The same pictures come with each turn of a chain, so what was
    found is remembered by their content."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._pool = Pool(Limits(children=AT_ONCE, seconds=seconds, memory=_MEMORY))
        self._looks = Remembered[Seen](_LOOKS, lambda _: 1)
        self._smaller = Remembered[bytes](_SMALLER_BYTES, lambda data: 1024 + len(data))

    async def look(self, data: bytes, owner: str = "") -> Seen:
        """What is in a picture. `owner`: whose it is; each has a share of the children. Raises Busy."""
        key = await _digest(data)
        found = self._looks.get(key)
        if found is None:
            found = await self._seen(data, owner)
            self._looks.put(key, found)
        return found

    async def _seen(self, data: bytes, owner: str) -> Seen:
        try:
            said = await self._pool.call("antiphon.retrieval.pixels:seen", data, owner=owner)
        except Busy:
            raise
        except Overrun:
            return Seen(fault="invalid_image")
        return msgspec.convert(said, Seen)

    async def within(self, data: bytes, bounds: Bounds, owner: str = "") -> bytes:
        """A picture that was looked at and is sound, made smaller if it must be and can be. Raises
        Busy."""
        look = await self.look(data, owner)
        size = bounds.fit(look.width, look.height)
        if size == (look.width, look.height):
            return data
        key = (await _digest(data), bounds)
        found = self._smaller.get(key)
        if found is None:
            found = await self._resized(data, size, owner)
            self._smaller.put(key, found)
        return found or data

    async def _resized(self, data: bytes, size: tuple[int, int], owner: str) -> bytes:
        """Empty: it stays as it is."""
        try:
            made: bytes = await self._pool.call("antiphon.retrieval.pixels:resized", data, *size, owner=owner)
        except Busy:
            raise
        except (Overrun, ValueError):
            return b""
        return made

    async def close(self) -> None:
        await self._pool.close()


async def _digest(data: bytes) -> bytes:
    return (await offload(in_bytes(len(data)), hashlib.sha256, data)).digest()
