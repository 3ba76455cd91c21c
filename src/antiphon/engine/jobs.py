"""Jobs: durable work that has no queue of its own. `store/work.py` keeps them, and says what they are.

A job is enqueued by `work.enqueue`, a rule that other rules yield from, so in the transaction of what it
belongs to; with `run_at` it waits for its time, and with a name there is one of it. `Jobs` does what is due
in this process. A job whose handler raises is tried again after a pause, and given up in the end; one whose
process dies is done by another.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import structlog

from antiphon.engine.queue import Pool
from antiphon.protocol.ids import new_request_id
from antiphon.store.work import ClaimedJob, Job, Work

log = structlog.get_logger()

AT_ONCE = 4
"""Jobs that a process does at the same time. A project has at most one less: however long its jobs take,
another one's need not wait for them to end."""
PAUSES = (5.0, 30.0, 120.0, 600.0, 3600.0)
"""Seconds after each attempt that failed; after one more the job is given up."""

Handler = Callable[[ClaimedJob], Awaitable[Sequence[Job] | None]]
"""Does a job of one kind, and gives what follows from it. It may be done more than once."""


class Jobs:
    """Does the jobs of the kinds that have a handler."""

    def __init__(
        self,
        work: Work,
        handlers: Mapping[str, Handler],
        *,
        at_once: int = AT_ONCE,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._handlers = handlers
        self._pauses = pauses
        self._queue = JobQueue(work, list(handlers), max(at_once - 1, 1))
        self._pool = Pool(self._queue, self._worker, at_once)

    def wake(self) -> None:
        """Have a look at once: a job was enqueued here."""
        self._pool.wake()

    async def leave(self) -> None:
        """Hand over what is done here, and begin nothing more."""
        await self._pool.leave()

    def running(self) -> AbstractAsyncContextManager[None]:
        """Jobs are done while the block runs. When it is left, those under way are left to others."""
        return self._pool.running()

    def _worker(self, job: ClaimedJob) -> "JobWorker":
        return JobWorker(self._queue, job, self._handlers[job.kind], self._pauses)


class JobQueue:
    """The jobs of some kinds, for this process: at most so many of one project at a time."""

    def __init__(self, work: Work, kinds: Sequence[str], of_project: int) -> None:
        self._work = work
        self._kinds = kinds
        self._of_project = of_project
        self._owner = new_request_id()
        self._claimed: dict[str, ClaimedJob] = {}
        """What is ours, each by its newest claim."""

    async def claim(self, lease: float) -> ClaimedJob | None:
        for job in await self._work.claim(self._kinds, self._owner, lease, 1, self._of_project):
            self._claimed[name_of(job)] = job
            return job
        return None

    async def renew(self, names: Sequence[str], lease: float) -> None:
        for name in names:
            job = self._claimed.get(name)
            if job is not None and not await self._work.renew(job, lease):
                self._claimed.pop(name, None)

    async def owned(self) -> Mapping[str, bool]:
        return dict.fromkeys(map(str, await self._work.owned(self._owner)), False)

    async def release(self) -> None:
        self._claimed.clear()
        await self._work.release(self._owner)

    async def leave(self, names: Sequence[str]) -> None:
        for name in names:
            self._claimed.pop(name, None)
        await self._work.leave(self._owner, [int(name) for name in names])

    async def wait(self, seconds: float) -> None:
        await self._work.wait_for_queue(seconds)

    async def finish(self, name: str, following: Sequence[Job]) -> None:
        """It is done."""
        if (job := self._claimed.pop(name, None)) is not None:
            await self._work.finish(job, following)

    async def retry(self, name: str, seconds: float, error: str) -> None:
        """It did not work: it is due again after so many seconds."""
        if (job := self._claimed.pop(name, None)) is not None:
            await self._work.retry(job, time.time() + seconds, error)

    async def give_up(self, name: str, error: str) -> None:
        """It did not work, and will not."""
        if (job := self._claimed.pop(name, None)) is not None:
            await self._work.fail(job, error)


class JobWorker:
    """Does one job."""

    def __init__(self, queue: JobQueue, job: ClaimedJob, handler: Handler, pauses: Sequence[float]) -> None:
        self._queue = queue
        self._job = job
        self._handler = handler
        self._pauses = pauses

    @property
    def name(self) -> str:
        return name_of(self._job)

    async def alone(self) -> bool:
        return False

    async def work(self) -> None:
        job = self._job
        try:
            following = await self._handler(job)
        except Exception as fault:
            log.exception("job failed", kind=job.kind, attempt=job.attempts)
            await self._failed(f"{type(fault).__name__}: {fault}")
        else:
            await self._queue.finish(self.name, following or ())

    async def _failed(self, error: str) -> None:
        attempts = self._job.attempts
        if attempts > len(self._pauses):
            await self._queue.give_up(self.name, error)
        else:
            await self._queue.retry(self.name, self._pauses[attempts - 1], error)

    def cancel(self, task: asyncio.Task[None]) -> None:
        task.cancel()

    def release(self, task: asyncio.Task[None]) -> None:
        task.cancel()


def name_of(job: ClaimedJob) -> str:
    """What a pool calls a job: the same for every claim of it."""
    return str(job.key)
