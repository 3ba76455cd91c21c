"""The embedded home of the store: one SQLite file, which other processes may use at the same time."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from antiphon.store import conversations, key_places, runs, work
from antiphon.store.blobs import Blobs
from antiphon.store.notices import Notices
from antiphon.store.sqlite import counting
from antiphon.store.sqlite.connection import transaction
from antiphon.store.sqlite.driver import drive
from antiphon.store.sqlite.process_lock import ProcessLock
from antiphon.store.sqlite.readers import Readers
from antiphon.store.sqlite.schema import prepare
from antiphon.store.sqlite.writer import Writer
from antiphon.store.statements import Steps
from antiphon.store.store import Store

T = TypeVar("T")
A = TypeVar("A")
Ts = TypeVarTuple("Ts")

POLL_SECONDS = 0.1
"""After which a reader looks for what another process wrote: a file wakes nobody."""


class SqliteDatabase:
    """A `Database` in a file."""

    reads_inline = True

    def __init__(
        self, writer: Writer, readers: Readers, lock: ProcessLock, clock: Callable[[], float], poll: float
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._lock = lock
        self.clock = clock
        self.notices = Notices(poll)

    def write(self, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> Awaitable[T]:
        return self._writer.write(rule, *arguments)

    def batch(self, rule: Callable[[Sequence[A]], Steps[None]], argument: A) -> Awaitable[None]:
        return self._writer.batch(rule, argument)

    def later(self, rule: Callable[[Sequence[A]], Steps[None]], argument: A) -> None:
        self._writer.later(rule, argument)

    async def read(self, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> T:
        return self._readers.read_inline(rule, *arguments)

    async def read_long(self, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> T:
        return await self._readers.read_in_thread(rule, *arguments)

    async def count_bytes(self, wanted: bool) -> None:
        if not await self.read(counting.stands, wanted):
            await self._writer.write(counting.start if wanted else counting.stop)

    async def close(self) -> None:
        await self._writer.close()
        await self._readers.close()
        self._lock.release()


async def open_sqlite(
    path: str | Path,
    blobs: Blobs | None = None,
    *,
    clock: Callable[[], float] = time.time,
    poll: float = POLL_SECONDS,
) -> Store:
    """Open the file, create it if there is none, and bring its schema up to date.

    `blobs`: as `Store` has them. `clock` gives the time that leases are measured by, the same for all
    processes; `poll`: seconds after which whoever waits for something looks for what another process wrote.
    Raises Incompatible.
    """
    db, readers, lock = await asyncio.to_thread(_opened, Path(path))
    return Store(SqliteDatabase(Writer(db), readers, lock, clock, poll), blobs)


def _opened(path: Path) -> tuple[sqlite3.Connection, Readers, ProcessLock]:
    db = prepare(path)
    lock = ProcessLock(path)
    with lock.acquired() as alone:
        if alone:
            with transaction(db):
                drive(db, _release_all())
    return db, Readers(path), lock


def _release_all() -> Steps[None]:
    """Every lease is that of a process that died."""
    yield from runs.release_all()
    yield from conversations.unlock_all()
    yield from work.release_all()
    yield from key_places.release_all()
