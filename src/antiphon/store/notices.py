"""Wakes those who wait for something to be written.

A notice is a hint: it may come for nothing, and what another process writes may give none. So whoever waits
looks again after a moment in any case.
"""

import asyncio
from contextlib import suppress

QUEUE = "queue"
"""The topic of all that is to be done later: something came, was let go of, or is to be cancelled."""


class Notices:
    """Who waits for what, in this process and its event loop."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: after which whoever waits looks again by himself."""
        self._seconds = seconds
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def report(self, topic: str) -> None:
        """Wake all who wait for this."""
        for waiting in self._waiting.get(topic, ()):
            if not waiting.done():
                waiting.set_result(None)

    async def wait(self, topic: str, seconds: float | None = None) -> None:
        """Returns at the next report of this, or after a moment: `seconds`, where they are given."""
        mine = asyncio.get_running_loop().create_future()
        others = self._waiting.setdefault(topic, set())
        others.add(mine)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._seconds if seconds is None else seconds):
                    await mine
        finally:
            others.discard(mine)
            if not others:
                self._waiting.pop(topic, None)

    @property
    def topics(self) -> int:
        """For how many things somebody waits."""
        return len(self._waiting)
