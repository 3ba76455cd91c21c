"""Bytes that several hold together: who would be too much waits until others have let go."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Room:
    """`most`: bytes. Who holds more than half of them counts as that half: it is let in beside others, and
    others beside it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._left = asyncio.Event()
        """Somebody has let go; a new one each time."""

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """In the block so many bytes are held."""
        size = min(size, self._most // 2)
        while self._held + size > self._most:
            await self._left.wait()
        self._held += size
        try:
            yield
        finally:
            self._held -= size
            left, self._left = self._left, asyncio.Event()
            left.set()
