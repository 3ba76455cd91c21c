"""How one of several servers is: who is asked for turns, and who is left alone for a while.

Three things say so. A turn that fails leaves the server alone for a moment, longer each time until one
succeeds. A server that asks to be left alone (`Retry-After`) is. And every server is asked again and again
whether it is there: one that hangs is found out before all its clients have waited for it, and one that comes
back is used within seconds.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Self

import structlog

from antiphon.model import Backend, Delta, Turn
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
        self.address = where.encode()
        self.backend = backend
        self.in_flight = 0
        self._clock = clock
        self.is_there = True
        """Whether it answered when it was last asked."""
        self._failures = 0
        self._rests_until = 0.0
        self.waits: set[Asked] = set()
        """Those whose first byte is still to come."""

    def is_well(self, now: float) -> bool:
        """Whether it should be asked, if there is a choice. `now`: what its clock says."""
        return self.is_there and self._rests_until <= now

    @property
    def rest(self) -> tuple[bool, float]:
        """How far it is from being well: to be compared."""
        return not self.is_there, self._rests_until

    def answered(self) -> None:
        """A turn is answered."""
        self._failures = 0

    def failed(self, fault: ApiError) -> None:
        """A turn was not answered."""
        self._failures += 1
        rest = _RESTS[min(self._failures, len(_RESTS)) - 1]
        self._rests_until = self._clock() + max(rest, min(fault.retry_after or 0, _LONGEST_REST))

    def release(self) -> None:
        """Who waits for its first byte need not wait any more."""
        for asked in self.waits:
            asked.give_up()

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


class Asked:
    """A turn that a server is asked for while the block lasts, and the wait for the first byte of its answer.
    Who reads it may take as long as he needs."""

    def __init__(self, replica: Replica, turn: Turn, patience: float | None) -> None:
        """`patience`: seconds for the first byte; None: any time."""
        self.batches = replica.backend.stream(turn)
        self.due = 2
        """How many batches must come in time: that the turn was taken up is no answer yet."""
        self._replica = replica
        self._loop = asyncio.get_running_loop()
        self._timer = None if patience is None else self._loop.call_later(patience, self.give_up)
        self._task: asyncio.Task[object] | None = None
        """Who waits just now."""
        self._given_up = False
        self._cancels = False
        """Whether that has cancelled the one who waits."""

    async def __aenter__(self) -> Self:
        self._replica.in_flight += 1
        self._replica.waits.add(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._came()
        try:
            await self.batches.aclose()
        finally:
            self._replica.in_flight -= 1

    def next(self) -> Awaitable[Sequence[Delta]]:
        """The next batch. Raises ApiError, and StopAsyncIteration behind the last one."""
        return self._in_time() if self.due else anext(self.batches)

    def give_up(self) -> None:
        """Who waits for the first byte need not wait any more."""
        self._given_up = True
        if self._task is not None and not self._cancels:
            self._cancels = True
            self._task.cancel()

    async def _in_time(self) -> Sequence[Delta]:
        """As `asyncio.timeout`, with one timer for all that is due."""
        self._task = task = asyncio.current_task()
        assert task is not None
        cancelled = task.cancelling()
        if self._given_up:  # while nobody waited: what is there by now still counts
            self._loop.call_soon(self.give_up)
        try:
            batch = await anext(self.batches)
        except asyncio.CancelledError:
            if self._cancels and task.uncancel() <= cancelled:
                where = self._replica.where
                raise UpstreamTimeout(f"The upstream at {where} did not begin to answer in time.") from None
            raise
        except StopAsyncIteration:
            self._replica.answered()
            raise
        finally:
            self._task = None
        self.due -= 1
        if not self.due:
            self._came()
            self._replica.answered()
        return batch

    def _came(self) -> None:
        """Nothing is waited for any more."""
        self._replica.waits.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
