"""Durable work: what must be done later, by whichever process, however often one dies.

Work is enqueued in the transaction of what it belongs to, so it is there exactly when that is. A process
*claims* it for a lease, which it renews as long as it works, and ends it in the transaction of what came of
it. When a lease ends without a renewal, the next claim takes the work over, and whoever had it can write
nothing more. So work may be started more than once, and is never forgotten: what it does must bear being done
again.

What is enqueued, and how it ends, belongs to the work's own noun in the store: background runs have one
(`store/runs.py`), all else is a job (`store/work.py`). Here is the other half, the same for all: `Queue` is
how a process gets hold of work, whatever engine keeps it, and `Pool` does it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Generic, Protocol, TypeVar

import structlog

from antiphon.store.faults import Unreachable

log = structlog.get_logger()

LEASE = 5.0
"""Seconds after which the work of a process that died is taken over."""
RENEWAL = 1.5
WATCH = 0.25
"""Seconds in which a process finds out that work of its own was cancelled or lost through another one."""
IDLE = 1.0
"""Seconds in which it finds out that work waits that another process enqueued or left. A notice may come
sooner, of either."""

Claim = TypeVar("Claim")
Claim_co = TypeVar("Claim_co", covariant=True)


class Queue(Protocol[Claim_co]):
    """Work of one sort, for one process. Work goes by the name that its worker has."""

    async def claim(self, lease: float) -> Claim_co | None:
        """Take what is due and has waited longest, for `lease` seconds. None: nothing is due. What the
        process does already may be claimed again, when it renewed too late."""
        ...

    async def renew(self, names: Sequence[str], lease: float) -> None:
        """Hold on to work of ours."""
        ...

    async def owned(self) -> Mapping[str, bool]:
        """The work that is ours, and whether each is to be cancelled."""
        ...

    async def release(self) -> None:
        """Let go of all that is ours: others may claim it at once."""
        ...

    async def leave(self, names: Sequence[str]) -> None:
        """The same for some of it."""
        ...

    async def wait(self, seconds: float) -> None:
        """Returns when something in the queue may have changed, or after so many seconds."""
        ...


class Worker(Protocol):
    """Does one piece of work."""

    @property
    def name(self) -> str:
        """Its own among all work of the queue."""
        ...

    async def alone(self) -> bool:
        """Whether nothing else may be done in this process meanwhile. Asked once, before `work`."""
        ...

    async def work(self) -> None:
        """To its end, or until it is left to others."""
        ...

    def cancel(self, task: asyncio.Task[None]) -> None:
        """End what `task` does as cancelled."""
        ...

    def release(self, task: asyncio.Task[None]) -> None:
        """Leave what `task` does to others, as it is."""
        ...


class Room:
    """Where workers are: any number of them, or one alone. Who wants to be alone waits until the others are
    done; meanwhile nobody else comes in."""

    def __init__(self) -> None:
        self._inside = 0
        self._alone = asyncio.Lock()
        self._empty = asyncio.Event()
        self._empty.set()

    @property
    def wanted(self) -> bool:
        """Whether somebody is alone in it, or wants to be."""
        return self._alone.locked()

    @asynccontextmanager
    async def entered(self, alone: bool) -> AsyncIterator[None]:
        async with self._alone:
            if alone:
                await self._empty.wait()
                yield
                return
            self._inside += 1
            self._empty.clear()
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                self._empty.set()


class Pool(Generic[Claim]):
    """Does the work of a queue in this process: at most `size` pieces at once. `start` makes the worker of a
    claim."""

    def __init__(self, queue: Queue[Claim], start: Callable[[Claim], Worker], size: int) -> None:
        self._queue = queue
        self._start = start
        self._size = size
        self._working: dict[str, tuple[Worker, asyncio.Task[None]]] = {}
        self._expected = 0
        self._idle: dict[str, float] = {}
        """What is ours, and is not done: since when, in the loop's time."""
        self._awake = asyncio.Event()
        self._stirred = asyncio.Event()
        self._room = Room()
        self._left = False

    def __contains__(self, name: str) -> bool:
        return name in self._working

    @property
    def at_work(self) -> int:
        return len(self._working)

    @property
    def has_room(self) -> bool:
        return not (self._left or self._room.wanted) and len(self._working) + self._expected < self._size

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """In the block work may come that nobody claims from the queue."""
        self._expected += 1
        try:
            yield
        finally:
            self._expected -= 1

    def take(self, worker: Worker) -> None:
        """Do work that was claimed."""
        if worker.name not in self._working:  # else it is our own, whose lease we renewed too late
            self._working[worker.name] = worker, asyncio.create_task(self._do(worker))

    def cancel(self, name: str) -> None:
        """Cancel work, if it is done here."""
        if name in self._working:
            worker, task = self._working[name]
            worker.cancel(task)

    def wake(self) -> None:
        """There may be something to claim."""
        self._awake.set()

    async def leave(self) -> None:
        """Leave what is done here to others, and claim nothing more."""
        self._left = True
        await self._release()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Work is done while the block runs. When it is left, what is not done is left to others."""
        goes_on = (self._listen(), self._claim_all(), self._watch())
        tasks = [asyncio.create_task(each) for each in goes_on]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._release()

    async def _release(self) -> None:
        for worker, working in self._working.values():
            worker.release(working)
        await asyncio.gather(*(task for _, task in self._working.values()), return_exceptions=True)
        try:
            await self._queue.release()
        except Unreachable as error:
            log.warning(
                "work could not be left to others: they have it when its lease ends", error=str(error)
            )

    async def _listen(self) -> None:
        """Have a look whenever the queue may have changed."""
        while True:
            await self._queue.wait(IDLE)
            self._awake.set()
            self._stirred.set()

    async def _claim_all(self) -> None:
        """Claim what waits, as long as there is room."""
        while True:
            self._awake.clear()
            try:
                while self.has_room and (claim := await self._claimed()) is not None:
                    self.take(self._start(claim))
            except Unreachable as error:  # it is asked again and again
                log.warning("no work could be claimed", error=str(error))
            except Exception:
                log.exception("no work could be claimed")
            await self._awake.wait()

    async def _claimed(self) -> Claim | None:
        with self.expecting():
            return await self._queue.claim(LEASE)

    async def _do(self, worker: Worker) -> None:
        try:
            async with self._room.entered(alone=await worker.alone()):
                await worker.work()
        except Exception:
            # It is left to others after a while (`_leave_idle`).
            log.exception("work could not be done", name=worker.name)
        finally:
            del self._working[worker.name]
            self._awake.set()

    async def _watch(self) -> None:
        """Keep hold of what is done here, and find out what is no longer to be."""
        loop = asyncio.get_running_loop()
        renewed = checked = loop.time()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(WATCH):
                    await self._stirred.wait()
            self._stirred.clear()
            if not self._working and (self._expected or loop.time() < checked + LEASE):
                continue  # what is ours all the same can wait
            checked = loop.time()
            try:
                if self._working and loop.time() > renewed + RENEWAL:
                    await self._queue.renew(list(self._working), LEASE)
                    renewed = loop.time()
                await self._check()
            except Unreachable as error:
                log.warning("leases could not be renewed", error=str(error))
            except Exception:
                log.exception("leases could not be renewed")

    async def _check(self) -> None:
        working = list(self._working.items())  # what is claimed meanwhile is not yet known to be ours
        owned = await self._queue.owned()
        for name, (worker, task) in working:
            if owned.get(name):
                worker.cancel(task)
            elif name not in owned:
                worker.release(task)  # deleted, or taken over
        await self._leave_idle(owned)

    async def _leave_idle(self, owned: Collection[str]) -> None:
        """Let go of what is ours for a lease, and is not done: its worker failed, or what told us that it is
        ours was lost with a connection."""
        if self._expected:
            return
        now = asyncio.get_running_loop().time()
        idle = [name for name in owned if name not in self._working]
        self._idle = {name: self._idle.get(name, now) for name in idle}
        if over := [name for name, since in self._idle.items() if since + LEASE < now]:
            await self._queue.leave(over)
