"""The thread that writes.

A commit costs a write to the disk however little it holds. So all writing of a process goes through one
thread, which takes every job that waits and commits them together.
"""

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from queue import SimpleQueue
from typing import Any, Generic, TypeAlias, TypeVar, TypeVarTuple

import structlog
from msgspec import Struct

from antiphon.store.sqlite.connection import transaction
from antiphon.store.sqlite.driver import drive
from antiphon.store.sqlite.reserve import Reserve
from antiphon.store.statements import Steps

log = structlog.get_logger()

T = TypeVar("T")
A = TypeVar("A")
Ts = TypeVarTuple("Ts")

Rule: TypeAlias = Callable[..., Steps[T]]

BATCH = 256
"""Jobs in one transaction: so many at least, if they wait."""
LATER_SECONDS = 1.0
"""How long a job may wait for others that nobody waits for."""
COMPANY_SECONDS = 0.002
"""How long the first job of a transaction waits for company, when the last one had some. Who writes alone
does not wait. Where many write one commit serves more of them: pages and commits were a third of what a plain
response costs. Where other processes write to the file too it waits twice as long: each of them has only a
part of the company, and finds what it knew of the file out of date after each commit of another."""


class _Job(Struct, Generic[T], eq=False):
    """A rule to carry out, and where its outcome goes; None: nowhere."""

    rule: Rule[T]
    arguments: tuple[Any, ...]
    future: asyncio.Future[T] | None
    batched: Rule[None] | None = None
    """The rule that does this and all like it, each of which is `arguments`."""
    result: T | None = None
    error: Exception | None = None

    def run(self, db: sqlite3.Connection) -> None:
        self.result = drive(db, self.rule(*self.arguments))

    def settle(self) -> None:
        """In the event loop. Whoever waited may have gone away; the job is done all the same."""
        if self.future is None:
            if self.error is not None:
                log.error("what was noted could not be written", error=str(self.error))
        elif self.future.done():
            return
        elif self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]


Jobs: TypeAlias = Sequence[_Job[Any]]


class Writer:
    """Takes jobs in the event loop, and carries them out in its thread.

    Jobs run together in one transaction, without savepoints. When one fails everything is undone, and all run
    again, each in a savepoint of its own: so a failure costs a little and harms nobody else.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._reserve = Reserve(db)
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[Jobs | None] = SimpleQueue()
        self._deferred: list[_Job[Any]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._in_company = False
        self._version = 0
        """Changes when another process has written to the file."""
        self._is_shared = False
        self._thread = threading.Thread(target=self._serve, name="antiphon-sqlite-writer", daemon=True)
        self._thread.start()

    def write(self, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> asyncio.Future[T]:
        """Done when the rule's result is durable."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._ask(_Job(rule, arguments, future))
        return future

    def batch(self, rule: Callable[[Sequence[A]], Steps[None]], argument: A) -> asyncio.Future[None]:
        """The same for a rule that does many things as well as one: those that wait are done in one go."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._ask(_Job(rule, ((argument,),), future, rule))
        return future

    def later(self, rule: Callable[[Sequence[A]], Steps[None]], argument: A) -> None:
        """Like `batch`, but nobody waits: with what is written next, or in a moment."""
        self._check_open()
        self._deferred.append(_Job(rule, ((argument,),), None, rule))
        if self._timer is None:
            self._timer = self._loop.call_later(LATER_SECONDS, self._put)

    def _ask(self, job: _Job[Any]) -> None:
        self._check_open()
        self._put(job)

    def _put(self, *jobs: _Job[Any]) -> None:
        """In one go with all that was deferred: so the thread cannot begin with a part of it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            jobs = (*self._deferred, *jobs)
            self._deferred.clear()
        self._queue.put(jobs)

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("The store is closed.")

    async def close(self) -> None:
        """Finish what was asked for, then stop."""
        if not self._closed:
            self._closed = True
            self._put()
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    # ---- in the thread ----

    def _serve(self) -> None:
        more = True
        while more:
            jobs, more = self._take()
            if jobs:
                self._write(jobs)
                self._reserve.keep()
                self._loop.call_soon_threadsafe(_settle, jobs)
        self._db.close()

    def _take(self) -> tuple[Jobs, bool]:
        """What waits, at least one put; and whether there may be more to come."""
        some = self._queue.get()
        if self._in_company and not self._closed:
            time.sleep(COMPANY_SECONDS * (2 if self._is_shared else 1))
        jobs: list[_Job[Any]] = []
        puts = 0
        while some is not None:
            jobs += some
            puts += 1
            if len(jobs) >= BATCH or self._queue.empty():
                break
            some = self._queue.get()
        self._in_company = puts > 1
        return jobs, some is not None

    def _write(self, jobs: Jobs) -> None:
        try:
            with transaction(self._db):
                self._look_for_others()
                for batched, group in groupby(jobs, attrgetter("batched")):
                    self._run(batched, group)
        except Exception:  # noqa: BLE001 (found again, by the one it belongs to)
            self._write_apart(jobs)

    def _look_for_others(self) -> None:
        """Whether another process wrote to the file since our last transaction."""
        (version,) = self._db.execute("PRAGMA data_version").fetchone()
        self._is_shared, self._version = version != self._version, version

    def _run(self, batched: Rule[None] | None, group: Iterable[_Job[Any]]) -> None:
        if batched is not None:
            drive(self._db, batched([job.arguments[0][0] for job in group]))
            return
        for job in group:
            job.run(self._db)

    def _write_apart(self, jobs: Jobs) -> None:
        try:
            with transaction(self._db):
                for job in jobs:
                    self._try(job)
        except Exception as error:  # noqa: BLE001 (the transaction itself failed: that of all)
            for job in jobs:
                job.error = error
        self._reserve.write(self._db, jobs)

    def _try(self, job: _Job[Any]) -> None:
        self._db.execute("SAVEPOINT job")
        try:
            job.run(self._db)
        except Exception as error:  # noqa: BLE001 (raised again where the job was asked for)
            job.error = error
            self._db.execute("ROLLBACK TO job")
        self._db.execute("RELEASE job")


def _settle(jobs: Jobs) -> None:
    for job in jobs:
        job.settle()
