"""The file: connections to it, its migrations, the thread that writes and the threads that read.

SQLite lets one connection write at a time, and a commit costs a write to the disk however little it
holds. So all writing of a process goes through one thread, which takes every job that waits and commits
them together. Other processes may write to the same file: a transaction begins IMMEDIATE and waits for
its turn. In WAL mode readers see the last commit and wait for nobody.
"""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.resources import files
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from antiphon.store.reserve import Reserve

T = TypeVar("T")
A = TypeVar("A")
Job = Callable[[sqlite3.Connection], T]
Shared = Callable[[sqlite3.Connection, Sequence[A]], None]

# RETURNING came with 3.35, STRICT tables with 3.37.
OLDEST_SQLITE = (3, 37)
BUSY_SECONDS = 15.0
BATCH = 256

# FULL: what was committed survives a power cut too. Group commit makes it affordable.
_PRAGMAS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA temp_store = MEMORY",
    f"PRAGMA journal_size_limit = {64 * 2**20}",
)
_WRITER_PRAGMAS = (
    # Deleting deletes: what was written is overwritten.
    "PRAGMA secure_delete = ON",
    # Fewer checkpoints write a page that changes often fewer times: the WAL may grow to 16 MB.
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA cache_size = -16000",
)


class Incompatible(Exception):
    """The file, or this Python's SQLite, does not fit this version of Antiphon."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode: transactions are begun in words."""
    db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    for pragma in _PRAGMAS:
        db.execute(pragma)
    return db


def _connect_reader(path: Path) -> sqlite3.Connection:
    db = connect(path)
    db.execute("PRAGMA query_only = ON")
    return db


@contextmanager
def transaction(db: sqlite3.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """All or nothing. A reader uses `BEGIN`, to see one state of the file in several queries."""
    db.execute(begin)
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise


# ---- the file ---------------------------------------------------------------------------------------


def prepare(path: Path) -> sqlite3.Connection:
    """Create the file if there is none, bring it up to date, and give the connection to write with."""
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise Incompatible(f"SQLite {sqlite3.sqlite_version} is too old: 3.37 or newer is needed.")
    path.parent.mkdir(parents=True, exist_ok=True)
    # Only the owner may read what people told a model. The WAL takes over the file's permissions.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    db = connect(path)
    try:
        for pragma in _WRITER_PRAGMAS:
            db.execute(pragma)
        _use_wal(db)
        _migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def _use_wal(db: sqlite3.Connection) -> None:
    """Changing the mode does not wait for a lock, as everything else does. So wait here."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return


def _migrate(db: sqlite3.Connection) -> None:
    """Run the scripts that this file has not seen. Another process may be about to do the same."""
    scripts = _scripts()
    with transaction(db):
        done = int(db.execute("PRAGMA user_version").fetchone()[0])
        if done > len(scripts):
            raise Incompatible(f"The database has schema {done}, from a newer version of Antiphon.")
        for script in scripts[done:]:
            for statement in _statements(script):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(scripts)}")


def _scripts() -> list[str]:
    folder = files("antiphon.store") / "migrations" / "sqlite"
    scripts = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda f: f.name)
    return [script.read_text(encoding="utf-8") for script in scripts]


def _statements(script: str) -> Iterator[str]:
    """One by one, since `executescript` would commit before it starts."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


# ---- writing ----------------------------------------------------------------------------------------


class _Ticket(Generic[T]):
    """A job, and where its outcome goes."""

    __slots__ = ("argument", "error", "future", "job", "result", "shared")

    def __init__(
        self, job: Job[T], future: asyncio.Future[T], shared: Shared[Any] | None = None, argument: Any = None
    ) -> None:
        self.job = job
        self.future = future
        self.shared = shared
        self.argument = argument
        self.result: T | None = None
        self.error: Exception | None = None

    def run(self, db: sqlite3.Connection) -> None:
        self.result = self.job(db)

    def settle(self) -> None:
        """In the event loop. Whoever waited may have gone away; the job is done all the same."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)  # type: ignore[arg-type]


class Writer:
    """The thread that writes.

    Jobs run together in one transaction, without savepoints. When one fails everything is undone, and
    all run again, each in a savepoint of its own: so a failure costs a little and harms nobody else.
    A job must therefore do nothing but work on the connection it is given.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._reserve = Reserve(db)
        self._loop = asyncio.get_running_loop()
        self._queue: SimpleQueue[_Ticket[Any] | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="antiphon-sqlite-writer", daemon=True)
        self._thread.start()

    def run(self, job: Job[T]) -> asyncio.Future[T]:
        """Done when the job's result is durable."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._ask(_Ticket(job, future))
        return future

    def share(self, job: Shared[A], argument: A) -> asyncio.Future[None]:
        """The same for a job that does many things as well as one: those that wait are done in one call."""
        future: asyncio.Future[None] = self._loop.create_future()
        self._ask(_Ticket(lambda db: job(db, [argument]), future, job, argument))
        return future

    def _ask(self, ticket: _Ticket[Any]) -> None:
        if self._closed:
            raise RuntimeError("The store is closed.")
        self._queue.put(ticket)

    async def close(self) -> None:
        """Finish what was asked for, then stop."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        more = True
        while more:
            tickets, more = self._take()
            if tickets:
                self._write(tickets)
                self._reserve.keep()
                self._loop.call_soon_threadsafe(_settle, tickets)
        self._db.close()

    def _take(self) -> tuple[list[_Ticket[Any]], bool]:
        """What waits, at least one; and whether there may be more to come."""
        tickets: list[_Ticket[Any]] = []
        ticket = self._queue.get()
        while ticket is not None:
            tickets.append(ticket)
            if len(tickets) == BATCH:
                break
            try:
                ticket = self._queue.get_nowait()
            except Empty:
                break
        return tickets, ticket is not None

    def _write(self, tickets: list[_Ticket[Any]]) -> None:
        try:
            with transaction(self._db):
                for shared, group in groupby(tickets, attrgetter("shared")):
                    if shared is not None:
                        shared(self._db, [ticket.argument for ticket in group])
                        continue
                    for ticket in group:
                        ticket.run(self._db)
        except Exception:  # noqa: BLE001 (found again, by the one it belongs to)
            self._write_apart(tickets)

    def _write_apart(self, tickets: list[_Ticket[Any]]) -> None:
        try:
            with transaction(self._db):
                for ticket in tickets:
                    self._try(ticket)
        except Exception as error:  # noqa: BLE001 (the transaction itself failed: everybody is told)
            for ticket in tickets:
                ticket.error = error
        self._reserve.write(self._db, tickets)

    def _try(self, ticket: _Ticket[Any]) -> None:
        self._db.execute("SAVEPOINT job")
        try:
            ticket.run(self._db)
        except Exception as error:  # noqa: BLE001 (raised again where the job was asked for)
            ticket.error = error
            self._db.execute("ROLLBACK TO job")
        self._db.execute("RELEASE job")


def _settle(tickets: list[_Ticket[Any]]) -> None:
    for ticket in tickets:
        ticket.settle()


# ---- reading ----------------------------------------------------------------------------------------


class Readers:
    """Connections that only read.

    A point or page read takes 10 to 40 µs, and to hand it to a thread as much again, or far more while
    the event loop is busy: so it is done on the spot. A read that may be long has a thread.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._here = _connect_reader(path)
        self._threads = ThreadPoolExecutor(2, "antiphon-sqlite-reader", self._equip)
        self._local = threading.local()
        self._opened = [self._here]

    def now(self, job: Job[T]) -> T:
        """Only for jobs whose size has a bound."""
        with transaction(self._here, "BEGIN"):
            return job(self._here)

    async def apart(self, job: Job[T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, job)

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        for db in self._opened:
            db.close()

    def _equip(self) -> None:
        self._local.db = _connect_reader(self._path)
        self._opened.append(self._local.db)

    def _run(self, job: Job[T]) -> T:
        db: sqlite3.Connection = self._local.db
        with transaction(db, "BEGIN"):
            return job(db)
