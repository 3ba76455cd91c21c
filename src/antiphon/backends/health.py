"""How one of several servers is: who is asked for turns, and who is left alone for a while.

Three things say so. A turn that fails leaves the server alone for a moment, longer each time until one
succeeds. A server that asks to be left alone (`Retry-After`) is. And every server is asked again and again
whether it is there: one that hangs is found out before all its clients have waited for it, and one that comes
back is used within seconds.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

import structlog

from antiphon.model import Backend, Delta, Deltas, Turn
from antiphon.protocol.errors import ApiError, UpstreamTimeout

CHECK_SECONDS = 2.0
"""Between two questions whether a server is there."""
CHECK_PATIENCE = 5.0
"""Seconds for an answer: one with much to do may take its time."""
_RESTS = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds of rest after so many turns in a row that failed. One may be chance."""
_LONGEST_REST = 60.0
"""Seconds that a server may ask for; what is more is not believed."""

log = structlog.get_logger()


class Replica:
    """One of several servers. `where` is its address; it is asked for turns by `backend`."""

    def __init__(self, where: str, backend: Backend, clock: Callable[[], float]) -> None:
        self.where = where
        self.backend = backend
        self.in_flight = 0
        self._clock = clock
        self.is_there = True
        """Whether it answered when it was last asked."""
        self._failures = 0
        self._rests_until = 0.0
        self._waits: set[asyncio.Timeout] = set()
        """Of who waits for the first byte."""

    @property
    def is_well(self) -> bool:
        """Whether it should be asked, if there is a choice."""
        return self.is_there and self._rests_until <= self._clock()

    @property
    def rest(self) -> tuple[bool, float]:
        """How far it is from being well: to be compared."""
        return not self.is_there, self._rests_until

    async def stream(self, turn: Turn, patience: float | None) -> Deltas:
        """An answer, of which the first byte must come in `patience` seconds. That the turn was taken up is
        no answer yet. Raises ApiError."""
        end = None if patience is None else asyncio.get_running_loop().time() + patience
        self.in_flight += 1
        try:
            async with aclosing(self.backend.stream(turn)) as batches:
                yield await self._awaited(batches, end)
                yield await self._awaited(batches, end)
                self._failures = 0
                async for batch in batches:
                    yield batch
        finally:
            self.in_flight -= 1

    async def _awaited(self, batches: Deltas, end: float | None) -> Sequence[Delta]:
        try:
            async with asyncio.timeout_at(end) as wait:
                self._waits.add(wait)
                try:
                    return await anext(batches, None) or ()  # Python 3.11 breaks on a tuple as default
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            raise UpstreamTimeout(f"The upstream at {self.where} did not begin to answer in time.") from None

    def failed(self, fault: ApiError) -> None:
        """A turn was not answered."""
        self._failures += 1
        rest = _RESTS[min(self._failures, len(_RESTS)) - 1]
        self._rests_until = self._clock() + max(rest, min(fault.retry_after or 0, _LONGEST_REST))

    def release(self) -> None:
        """Who waits for its first byte need not wait any more."""
        now = asyncio.get_running_loop().time()
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(now)

    async def check(self) -> None:
        """Ask whether it is there."""
        try:
            async with asyncio.timeout(CHECK_PATIENCE):
                await self.backend.check()
                if not self.is_there:
                    await self.backend.probe()  # another server may have come in its place
        except (ApiError, TimeoutError) as fault:
            self._note(is_there=False, why=str(fault) or "it does not answer")
        else:
            self._note(is_there=True)

    def _note(self, *, is_there: bool, why: str | None = None) -> None:
        if is_there is self.is_there:
            return
        self.is_there = is_there
        if is_there:
            self._failures, self._rests_until = 0, 0.0
            log.info("a server is back", upstream=self.where)
        else:
            log.warning("a server is away", upstream=self.where, reason=why)
