"""What has to be done again and again, by one process at a time, however many there are.

It is a job with a name, so it is there once. It ends by enqueuing the next one.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from msgspec.structs import replace

from antiphon.engine.jobs import Handler
from antiphon.store.work import ClaimedJob, Job, Work

log = structlog.get_logger()

PERIOD_SECONDS = 600.0
"""From the end of one round to the next."""

_SWEEP = Job(kind="sweep", name="all", payload=b"")


class Sweeping:
    """Does these one after another, in every round."""

    def __init__(self, work: Work, sweeps: Sequence[Callable[[], Awaitable[object]]]) -> None:
        self._work = work
        self._sweeps = sweeps
        self.handlers: Mapping[str, Handler] = {_SWEEP.kind: self._sweep}

    async def begin(self) -> None:
        """From now on, if it did not begin long ago."""
        await self._work.enqueue([_SWEEP])

    async def _sweep(self, job: ClaimedJob) -> Sequence[Job]:
        for sweep in self._sweeps:
            try:
                await sweep()
            except Exception:  # the disk may be well again next time
                log.exception("a sweep failed", sweep=getattr(sweep, "__qualname__", repr(sweep)))
        return [replace(_SWEEP, run_at=time.time() + PERIOD_SECONDS)]
