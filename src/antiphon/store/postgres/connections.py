"""Connections to the server: a bounded number, opened as they are needed, and never trusted to last.

A database goes away and comes back: it is restarted, or its place is taken by another. So whoever takes a
connection may find it lost, which is known at the first use, and all others that lay idle are then forgotten.
A new one is tried at once: nobody waits for a pool that waits for the database.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor
from psycopg.adapt import AdaptersMap
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus
from psycopg.types.array import ListBinaryDumper
from psycopg.types.numeric import Int8BinaryDumper
from psycopg.types.string import StrBinaryDumper

from antiphon.store.faults import Unreachable

Connection: TypeAlias = AsyncConnection[tuple[Any, ...]]

BUSY_SECONDS = 15.0
"""How long a transaction waits for a connection while all are used."""
_PREPARED = 500
"""Statements that a connection keeps prepared."""
_NETWORK: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "antiphon",
}
"""A network that breaks without a word is noticed in seconds. What the URL says goes before."""


# Every statement finds its rows by an index, also in tables of which the planner knows nothing yet; and one
# plan does for all its parameters: planning would cost more than the rest.
_SET_UP = """
    SELECT CAST(extract(epoch FROM clock_timestamp()) AS FLOAT8),
        set_config('plan_cache_mode', 'force_generic_plan', false),
        set_config('enable_seqscan', 'off', false), set_config('jit', 'off', false)"""


_ASKED = " Is the server running on that host and accepting TCP/IP connections?"


class _Text(StrBinaryDumper):
    """PostgreSQL keeps no NUL in a text."""

    def dump(self, obj: str) -> bytes | bytearray | memoryview | None:
        return super().dump(obj.replace("\0", "\ufffd") if "\0" in obj else obj)


def _adapters() -> AdaptersMap:
    """Each type is sent as one type, so a statement is prepared once."""
    adapters = AdaptersMap(psycopg.adapters)
    adapters.register_dumper(int, Int8BinaryDumper)
    adapters.register_dumper(str, _Text)
    adapters.register_dumper(list, ListBinaryDumper)
    return adapters


_ADAPTERS = _adapters()


class Connections:
    """At most `most`, for one event loop."""

    def __init__(self, url: str, most: int) -> None:
        self._url = url
        self._places = asyncio.Semaphore(most)
        self._idle: list[Connection] = []
        self.prepared = True
        """Whether statements may be prepared. Behind a pooler that gives each transaction another connection
        they may not."""
        self.ahead = 0.0
        """Seconds by which the server's clock is before ours."""

    @asynccontextmanager
    async def taken(self) -> AsyncIterator[Connection]:
        """A connection that is ours while the block runs. Raises Unreachable."""
        try:
            async with asyncio.timeout(BUSY_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            raise Unreachable("all connections to the database are in use") from None
        try:
            connection = await self._idle_one() or await self._connect()
            try:
                yield connection
            finally:
                await self._put_back(connection)
        finally:
            self._places.release()

    async def _idle_one(self) -> Connection | None:
        """One that has not been closed by the other side meanwhile, as far as that is known here."""
        while self._idle:
            connection = self._idle.pop()
            with suppress(psycopg.OperationalError):
                connection.pgconn.consume_input()
                if not connection.closed:
                    return connection
            await connection.close()
        return None

    async def forget(self) -> None:
        """A connection was lost: those that lie idle are as old."""
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.close()

    close = forget

    async def _put_back(self, connection: Connection) -> None:
        if connection.pgconn.transaction_status == TransactionStatus.IDLE:
            self._idle.append(connection)
        else:
            await connection.close()

    async def _connect(self) -> Connection:
        try:
            connection = await connect(self._url, self.prepared)
            try:
                await self._prepare(connection)
            except BaseException:  # whoever wanted it may have gone away
                await connection.close()
                raise
        except (psycopg.OperationalError, OSError) as error:
            raise Unreachable(in_words(error)) from error
        return connection

    async def _prepare(self, connection: Connection) -> None:
        """Sets how statements are planned, and compares the clocks."""
        before = time.time()
        cursor = await connection.execute(_SET_UP)
        row = await cursor.fetchone()
        assert row is not None
        self.ahead = row[0] - (before + time.time()) / 2


async def connect(url: str, prepared: bool = False) -> Connection:
    """A connection in autocommit mode: transactions are begun in words. `prepared`: what is said often is
    prepared. Raises psycopg.OperationalError."""
    given = conninfo_to_dict(url)
    connection = await AsyncConnection.connect(
        url,
        autocommit=True,
        cursor_factory=AsyncRawCursor,
        context=_ADAPTERS,
        prepare_threshold=2 if prepared else None,
        **{name: value for name, value in _NETWORK.items() if name not in given},
    )
    connection.prepared_max = _PREPARED
    return connection


async def reach(url: str) -> Connection:
    """The same. Raises Unreachable."""
    try:
        return await connect(url)
    except (psycopg.OperationalError, OSError) as error:
        raise Unreachable(in_words(error)) from error


def in_words(error: Exception) -> str:
    """What the driver says, in one line, and without what it asks besides."""
    return " ".join(str(error).split()).removesuffix(_ASKED)


def complaint(url: str) -> str | None:
    """What is wrong with a URL, as the driver says it."""
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        return str(error).strip()
    return None
