"""The home of the store that several machines share: a PostgreSQL database.

It keeps what store/store.py promises, but for the order of writes. Those of one process may overtake each
other, unless the second is asked for when the first is done, or when whoever asked for the first was
cancelled (`writer`). Nobody asks for two writes at once that need an order: conversations are unlocked behind
the write that the lock was for, and a run is recorded by one task.

What a write that failed means: a `StoreError` changed nothing. `Unreachable` may have changed everything, as
the connection broke while the database committed; whatever is asked for again after it bears that.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar, TypeVarTuple

from antiphon.store.blobs import Blobs
from antiphon.store.notices import QUEUE
from antiphon.store.postgres import counting, hot, queue, transactions
from antiphon.store.postgres.connections import Connections
from antiphon.store.postgres.notices import PostgresNotices
from antiphon.store.postgres.schema import migrate
from antiphon.store.postgres.writer import Writer
from antiphon.store.statements import Steps
from antiphon.store.store import Store

T = TypeVar("T")
A = TypeVar("A")
Ts = TypeVarTuple("Ts")


class PostgresDatabase:
    """A `Database` on a server."""

    reads_inline = False

    def __init__(
        self, connections: Connections, notices: PostgresNotices, clock: Callable[[], float] | None
    ) -> None:
        self._connections = connections
        self._writer = Writer(connections)
        self.clock = clock or self._servers_time
        self.notices = notices

    def _servers_time(self) -> float:
        """The clocks of several machines differ: the server's counts."""
        return time.time() + self._connections.ahead

    def write(self, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> Awaitable[T]:
        return self._writer.write(queue.own(rule), *arguments)

    def batch(self, rule: Callable[[Sequence[A]], Steps[None]], argument: A) -> Awaitable[None]:
        return self._writer.batch(rule, argument)

    def later(self, rule: Callable[[Sequence[A]], Steps[None]], argument: A) -> None:
        self._writer.later(rule, argument)

    async def read(self, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> T:
        own = hot.READS.get(rule, queue.own(rule))
        return await transactions.read(self._connections, own, *arguments)

    async def read_long(self, rule: Callable[[*Ts], Steps[T]], *arguments: *Ts) -> T:
        return await self.read(rule, *arguments)

    async def count_bytes(self, wanted: bool) -> None:
        if not await self.read(counting.stands, wanted):
            await self.write(counting.start if wanted else counting.stop)

    async def close(self) -> None:
        await self._writer.close()
        await self.notices.close()
        await self._connections.close()


async def open_postgres(
    url: str,
    blobs: Blobs | None = None,
    *,
    listen_url: str | None = None,
    clock: Callable[[], float] | None = None,
    poll: float | None = None,
    connections: int = 8,
) -> Store:
    """Connect to the database, and bring its schema up to date.

    `blobs`: as `Store` has them. `listen_url` reaches the same database where a pooler of connections stands
    before `url`. `clock` gives the time that leases are measured by; None: the server's. `poll`: seconds
    after which whoever waits for something looks for what another process wrote; None: that depends on
    whether notices arrive. `connections`: that this process has at most. Raises Incompatible, Unreachable.
    """
    await migrate(url)
    pool = Connections(url, connections)
    notices = PostgresNotices(url, listen_url, pool, {queue.CHANNEL: QUEUE}, poll)
    await notices.start()
    pool.prepared = listen_url is None and notices.hearing
    database = PostgresDatabase(pool, notices, clock)
    await database.write(queue.adopt)
    return Store(database, blobs)
