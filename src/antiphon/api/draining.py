"""A process that is told to stop: others take over what it does, and balancers see it before it is gone."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from types import FrameType

import structlog

log = structlog.get_logger()


class Draining:
    """Whether it was told to. From then on it does nothing in the background: `leave` hands over what it
    does."""

    def __init__(self, leave: Sequence[Callable[[], Awaitable[None]]]) -> None:
        self.begun = False
        self._leave = leave
        self._leaving: asyncio.Task[None] | None = None

    def begin(self) -> None:
        if not self.begun:
            self.begun = True
            self._leaving = asyncio.create_task(self._left())

    async def _left(self) -> None:
        try:
            await asyncio.gather(*(leave() for leave in self._leave))
        except Exception:  # the top of a task: leases end by themselves
            log.exception("background work could not be handed over")

    @asynccontextmanager
    async def at_sigterm(self, seconds: float) -> AsyncIterator[None]:
        """In the block a SIGTERM begins it, and stops the server `seconds` later; a second one at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop, stop = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)

        def told(number: int, frame: FrameType | None) -> None:
            if seconds == 0 or self.begun:
                end()
            loop.call_soon_threadsafe(begin)

        def begin() -> None:
            if not self.begun:
                self.begin()
                if seconds > 0:
                    loop.call_later(seconds, end)

        def end() -> None:
            if callable(stop):
                stop(signal.SIGTERM, None)

        signal.signal(signal.SIGTERM, told)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, stop)
            if self._leaving is not None:
                await self._leaving
