"""What is looked at from time to time, since nothing says when it changes: the state of this process."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from antiphon.telemetry import metrics

SECONDS = 0.5
"""Between two looks."""
_REMEMBERED = 20
"""Looks: the last ten seconds."""


class Pulse:
    """`connections` and `runs` are how many there are now."""

    def __init__(self, connections: Callable[[], int], runs: Callable[[], int]) -> None:
        self._connections = connections
        self._runs = runs

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """It is looked while the block runs."""
        looking = asyncio.create_task(self._look_again())
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.wait({looking})
            metrics.connections.set(0)
            metrics.runs.set(0)
            metrics.loop_lag.set(0)

    async def _look_again(self) -> None:
        time, lags = asyncio.get_running_loop().time, deque([0.0], _REMEMBERED)
        while True:
            metrics.connections.set(self._connections())
            metrics.runs.set(self._runs())
            metrics.loop_lag.set(max(lags))
            due = time() + SECONDS
            await asyncio.sleep(SECONDS)
            lags.append(max(0.0, time() - due))
