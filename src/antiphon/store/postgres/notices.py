"""Wakes who waits on any server: each process has one connection that LISTENs, and sends one NOTIFY for all
that it reports within a moment.

A commit with a NOTIFY holds a lock on the whole cluster while it waits for its disk. So a NOTIFY is never
part of the transaction that it is about, and its own commit waits for no disk.

Notices are hints, and looking is the truth: seldom while this process hears its own notices, often while it
does not. A pooler that gives each transaction another connection takes a LISTEN without an error and delivers
nothing, so only a notice to oneself tells. Behind one, `[store] listen_url` names a way around it.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from contextlib import aclosing, suppress
from hashlib import blake2b

import psycopg
import structlog
from psycopg import sql

from antiphon.protocol.ids import new_request_id
from antiphon.store.notices import Notices
from antiphon.store.postgres.connections import Connection, Connections, connect, in_words

log = structlog.get_logger()

CHANNEL = "antiphon"
HEARING, DEAF = 1.0, 0.1
"""Seconds after which who waits looks by himself: while notices arrive, and while they do not."""
GATHER = 0.005
"""Seconds of reports that are sent together."""
TEST = 1.0
"""Seconds in which a notice to oneself must have come."""
PAUSE, DEAF_PAUSE = 0.5, 20.0
"""Seconds before another try: when the connection broke, and when it took a LISTEN and nothing came."""
_NOTIFY = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)"

_PAYLOAD = 7_900
"""Bytes. PostgreSQL takes less than 8,000."""


class PostgresNotices(Notices):
    """Who waits in this process, and the other processes of the database.

    `listen_url` is where it LISTENs, `url` where it sends by `connections`. `channels`: others that are
    listened to, and the topic that anything there reports here. `seconds`: after which whoever waits looks
    again by himself, where that does not depend on whether notices arrive.
    """

    def __init__(
        self,
        url: str,
        listen_url: str | None,
        connections: Connections,
        channels: Mapping[str, str],
        seconds: float | None = None,
    ) -> None:
        super().__init__(DEAF if seconds is None else seconds)
        self._url = url
        self._listen_url = listen_url or url
        self._connections = connections
        self._channels = channels
        self._me = new_request_id()
        self._unsent: dict[str, None] = {}
        self._sender: asyncio.Task[None] | None = None
        self._listener: asyncio.Task[None] | None = None
        self._tested = asyncio.Event()
        self._sent = True
        self._fixed = seconds is not None
        self.hearing = False
        """Whether notices arrive."""

    async def start(self) -> None:
        """Listen until `close`. It is known then whether notices arrive."""
        self._listener = asyncio.create_task(self._listen_always())
        await self._tested.wait()

    async def close(self) -> None:
        """What was reported is sent."""
        if self._listener is not None:
            self._listener.cancel()
            with suppress(asyncio.CancelledError):
                await self._listener
        if self._sender is not None:
            await self._sender

    async def wait(self, topic: str, seconds: float | None = None) -> None:
        await super().wait(_key(topic), seconds)

    # ---- sending ----

    def report(self, topic: str) -> None:
        key = _key(topic)
        super().report(key)
        self._unsent[key] = None
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())

    async def _send_all(self) -> None:
        try:
            while self._unsent:
                await asyncio.sleep(GATHER)
                keys, self._unsent = self._unsent, {}
                await self._send_some(keys)
        finally:
            self._sender = None

    async def _send_some(self, keys: Iterable[str]) -> None:
        try:
            for payload in _payloads(self._me, keys):
                async with self._connections.taken() as connection:
                    await connection.execute(_NOTIFY, (CHANNEL, payload))
            self._sent = True
        except Exception as error:  # noqa: BLE001 (whatever it is: they are hints)
            if self._sent:  # else it was said
                log.warning(
                    "notices could not be sent: other servers look by themselves", error=in_words(error)
                )
            self._sent = False

    # ---- hearing ----

    async def _listen_always(self) -> None:
        while True:
            pause = PAUSE
            try:
                pause = await self._listen()
            except (psycopg.Error, OSError) as error:
                log.warning("no notices are heard: readers look by themselves", error=in_words(error))
            finally:
                self._tested.set()
            self._turn(hearing=False)
            await asyncio.sleep(pause)

    async def _listen(self) -> float:
        """Hear notices as long as the connection holds. Returns the seconds to pause when it delivers none.
        Raises psycopg.Error."""
        async with await connect(self._listen_url) as connection:
            for channel in (CHANNEL, *self._channels):
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            if not await self._hears_itself(connection):
                log.warning(
                    "notices of the database do not arrive: readers look for what is new ten times a second. "
                    "If a pooler stands before the database, set [store] listen_url to reach it directly."
                )
                return DEAF_PAUSE
            log.info("notices of the database arrive")
            self._turn(hearing=True)
            self._tested.set()
            async for notice in connection.notifies():
                self._hear(notice)
        return PAUSE

    async def _hears_itself(self, connection: Connection) -> bool:
        async with await connect(self._url) as other:
            await other.execute(_NOTIFY, (CHANNEL, self._me))
        async with aclosing(connection.notifies(timeout=TEST)) as notices:
            async for notice in notices:
                if notice.payload == self._me:
                    return True
        return False

    def _hear(self, notice: psycopg.Notify) -> None:
        if notice.channel != CHANNEL:
            super().report(_key(self._channels[notice.channel]))
            return
        sender, *keys = notice.payload.split(" ")
        if sender != self._me:  # who waits here for what is ours is awake
            for key in keys:
                super().report(key)

    def _turn(self, hearing: bool) -> None:
        """What was written meanwhile was not heard of, so all look now."""
        self.hearing = hearing
        if not self._fixed:
            self._seconds = HEARING if hearing else DEAF
        for key in self._waiting:
            super().report(key)


def _key(topic: str) -> str:
    """Short, so that one NOTIFY has room for many. That two topics are one by chance does no harm."""
    return blake2b(topic.encode(), digest_size=6).hexdigest()


def _payloads(sender: str, keys: Iterable[str]) -> Iterator[str]:
    """As many as it takes. All of it is ASCII."""
    payload = sender
    for key in keys:
        if len(payload) + 1 + len(key) > _PAYLOAD:
            yield payload
            payload = sender
        payload += f" {key}"
    yield payload
