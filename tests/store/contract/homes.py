"""The homes of the store. A new one is one more entry of `HOMES`: every test in this folder runs on it."""

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import psycopg
from tests.postgres import shared_postgres

from antiphon.store.blobs import Blobs
from antiphon.store.folder_blobs import FolderBlobs
from antiphon.store.postgres.database import open_postgres
from antiphon.store.postgres.schema import migrate
from antiphon.store.sqlite.database import open_sqlite
from antiphon.store.store import Store


class Home(Protocol):
    """A place of its own for one test, empty at first."""

    blobs: Blobs
    """Where its data lies."""

    async def open(self, clock: Callable[[], float], poll: float = 0.1) -> Store:
        """The store that lies here, as one process has it; again, and another process has it as well."""
        ...

    async def be_silent(self, seconds: float) -> None:
        """All who do work were last heard of so much earlier: where that is not told by the clock."""
        ...


class SqliteHome:
    """A file."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "antiphon.db"
        self.blobs: Blobs = FolderBlobs(folder / "files")

    async def open(self, clock: Callable[[], float], poll: float = 0.1) -> Store:
        return await open_sqlite(self._file, self.blobs, clock=clock, poll=poll)

    async def be_silent(self, seconds: float) -> None:
        pass


class PostgresHome:
    """A database of its own."""

    def __init__(self, folder: Path) -> None:
        self.blobs: Blobs = FolderBlobs(folder / "files")
        self._url = shared_postgres().url(shared_postgres().create(template()))

    async def open(self, clock: Callable[[], float], poll: float = 0.1) -> Store:
        return await open_postgres(self._url, self.blobs, clock=clock, poll=poll, connections=4)

    async def be_silent(self, seconds: float) -> None:
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            await connection.execute(
                "UPDATE antiphon_queue.procrastinate_workers"
                " SET last_heartbeat = last_heartbeat - make_interval(secs => %s)",
                (seconds,),
            )


@functools.cache
def template() -> str:
    """With all tables: to copy it costs less than to run the scripts."""
    name = shared_postgres().create(name="antiphon")
    with ThreadPoolExecutor(1) as thread:  # whoever asks may be in an event loop
        thread.submit(asyncio.run, migrate(shared_postgres().url(name))).result()
    return name


HOMES: dict[str, Callable[[Path], Home]] = {"sqlite": SqliteHome, "postgres": PostgresHome}
