"""Connections that only read."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from antiphon.store.sqlite.connection import connect_reader, transaction
from antiphon.store.sqlite.driver import drive
from antiphon.store.statements import Steps

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_THREADS = 2


class Readers:
    """Carries out rules that only read, each in one transaction.

    A read of a row or two takes 10 to 40 µs, and to hand it to a thread as much again, or far more while the
    event loop is busy: so it is done on the spot. In WAL mode it waits for nobody. What may be long has a
    thread.
    """

    def __init__(self, path: Path) -> None:
        """In a thread, as it opens the file."""
        self._path = path
        self._inline = connect_reader(path)
        self._threads = ThreadPoolExecutor(_THREADS, "antiphon-sqlite-reader", self._equip)
        self._local = threading.local()
        self._opened = [self._inline]

    def read_inline(self, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> T:
        """Only for rules whose reading has a bound."""
        return _read(self._inline, rule, *arguments)

    async def read_in_thread(self, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: _read(self._local.db, rule, *arguments))

    async def close(self) -> None:
        """Wait for what is being read."""
        await asyncio.to_thread(self._threads.shutdown)
        for db in self._opened:
            db.close()

    def _equip(self) -> None:
        self._local.db = connect_reader(self._path)
        self._opened.append(self._local.db)


def _read(db: sqlite3.Connection, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> T:
    with transaction(db, "BEGIN"):
        return drive(db, rule(*arguments))
