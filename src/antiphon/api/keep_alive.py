"""A long silence of the model is not a dead connection: what is told while nothing else is."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

from antiphon.protocol.events import Event


class KeepAlive:
    """While its block runs, sends what `ask` gives whenever nothing was sent for `seconds`."""

    def __init__(
        self,
        seconds: float,
        ask: Callable[[], Sequence[Event]],
        send: Callable[[Sequence[Event]], Awaitable[None]],
    ) -> None:
        self._seconds = seconds
        self._ask = ask
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()

    def sent(self) -> None:
        """Something was sent just now."""
        self._last = self._loop.time()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        # A cancelled task remembers where it stood, and so us: without this it would take a collection of
        # garbage to free all that the stream has held.
        del self._task

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._last + self._seconds - self._loop.time())
            if self._loop.time() >= self._last + self._seconds:
                self.sent()
                await self._send(self._ask())
