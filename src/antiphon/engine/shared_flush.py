"""Handing over for several tasks: what each emits goes out in its order, whoever of them is cancelled."""

import asyncio

from antiphon.engine.emission import Emission


class SharedFlush:
    """The flush of an emission. Tasks of its own do it: one does, and one waits for it."""

    def __init__(self, emission: Emission) -> None:
        self._emission = emission
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._next: asyncio.Task[None] | None = None

    async def flush(self) -> None:
        """Hand over what there is. Who is cancelled meanwhile takes nothing of the stream along."""
        if self._next is None:
            self._next = asyncio.create_task(self._hand_over())
            self._tasks.add(self._next)
            self._next.add_done_callback(self._tasks.discard)
        await asyncio.shield(self._next)

    async def _hand_over(self) -> None:
        async with self._lock:
            self._next = None
            await self._emission.flush()

    async def settle(self) -> None:
        """When all is handed over that was about to be."""
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    def give_up(self) -> None:
        """Nobody reads what is still on its way."""
        self._next = None
        for task in self._tasks:
            task.cancel()
