"""Who waits for something to be written is woken on whatever server he waits."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager

import psycopg
import pytest
from structlog.testing import capture_logs
from tests.pooler import needs_pooler, pooler
from tests.postgres import Postgres, shared_postgres

from antiphon.store.postgres import notices as module
from antiphon.store.postgres.connections import Connections
from antiphon.store.postgres.notices import CHANNEL, DEAF, HEARING, PostgresNotices

LONG = 60.0


@pytest.fixture
def url() -> Iterator[str]:
    with shared_postgres().database() as url:
        yield url


@asynccontextmanager
async def server(url: str, listen_url: str | None = None) -> AsyncIterator[PostgresNotices]:
    """What one process has."""
    connections = Connections(url, 2)
    notices = PostgresNotices(url, listen_url, connections, {"elsewhere": "jobs"})
    await notices.start()
    try:
        yield notices
    finally:
        await notices.close()
        await connections.close()


@asynccontextmanager
async def heard(url: str) -> AsyncIterator[list[str]]:
    """The payloads of all that is sent meanwhile."""
    payloads: list[str] = []
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as db:
        await db.execute(f"LISTEN {CHANNEL}")
        yield payloads
        await db.execute(f"NOTIFY {CHANNEL}, 'the end'")
        async with aclosing(db.notifies()) as notices:
            async for notice in notices:
                if notice.payload == "the end":
                    return
                payloads.append(notice.payload)


async def waiting(notices: PostgresNotices, topics: Sequence[str]) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(notices.wait(topic, LONG)) for topic in topics]
    await asyncio.sleep(0)
    return tasks


async def woken(tasks: Sequence[asyncio.Task[None]]) -> None:
    async with asyncio.timeout(60):
        await asyncio.gather(*tasks)


async def test_who_waits_is_woken_by_what_another_server_writes_and_by_nothing_else(url: str) -> None:
    async with server(url) as one, server(url) as other:
        assert one.hearing
        assert other.hearing
        here, there, elsewhere = [
            *(await waiting(one, ["log"])), *(await waiting(other, ["log", "other"]))
        ]  # fmt: skip

        other.report("log")

        await woken([here, there])
        assert not elsewhere.done()
        elsewhere.cancel()


async def test_what_is_reported_within_a_moment_is_sent_together(url: str) -> None:
    topics = [f"resp_{n}" for n in range(200)]
    async with server(url) as one, server(url) as other, heard(url) as payloads:
        tasks = await waiting(other, topics)
        for topic in topics * 3:
            one.report(topic)
        await woken(tasks)
    assert len(payloads) == 1


async def test_however_many_are_reported_each_notice_is_one_that_the_database_takes(url: str) -> None:
    topics = [f"resp_{n}" for n in range(2000)]
    async with server(url) as one, server(url) as other, heard(url) as payloads:
        tasks = await waiting(other, topics)
        for topic in topics:
            one.report(topic)
        await woken(tasks)
    assert len(payloads) > 1


async def test_what_is_said_on_another_channel_is_a_report_as_well(url: str) -> None:
    async with server(url) as one:
        tasks = await waiting(one, ["jobs"])
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as db:
            await db.execute("NOTIFY elsewhere, 'anything'")
        await woken(tasks)


async def test_what_was_reported_before_the_end_is_sent(url: str) -> None:
    async with server(url) as other:
        tasks = await waiting(other, ["log"])
        async with server(url) as one:
            one.report("log")
        await woken(tasks)


async def test_who_hears_nothing_looks_often_and_who_hears_seldom(url: str) -> None:
    async with server(url) as one:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await one.wait("log")
        assert loop.time() - began >= HEARING * 0.9
    assert DEAF <= 0.1


async def test_a_connection_that_breaks_is_made_again_and_all_look_at_once(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    async with server(url) as one, server(url) as other:
        tasks = await waiting(one, ["log"])
        listens = asyncio.create_task(one.wait("nothing", LONG))
        await _cut_listeners(url)
        await woken([*tasks, listens])
        async with asyncio.timeout(60):
            while not one.hearing or not other.hearing:
                await asyncio.gather(*(each.wait("nothing") for each in (one, other)))

        tasks = await waiting(one, ["log"])
        other.report("log")
        await woken(tasks)


async def _cut_listeners(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as db:
        await db.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
            " AND datname = current_database()"
        )


async def test_a_server_that_goes_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.05)
    with Postgres() as database, database.database() as url:
        async with server(url) as one:
            await asyncio.to_thread(database.stop, "immediate")
            one.report("log")
            async with asyncio.timeout(60):
                while one.hearing:
                    await one.wait("log")
            await asyncio.to_thread(database.start)
            async with asyncio.timeout(60):
                while not one.hearing:
                    await one.wait("log")


@needs_pooler
async def test_behind_a_pooler_nothing_is_heard_and_the_log_says_what_to_set(url: str) -> None:
    with pooler(url) as pooled, capture_logs() as logs:
        async with server(pooled) as one:
            assert not one.hearing
            async with asyncio.timeout(10 * HEARING):
                for _ in range(20):
                    await one.wait("log")
    assert any("[store] listen_url" in entry["event"] for entry in logs)


@needs_pooler
async def test_with_a_way_around_the_pooler_all_is_heard(url: str) -> None:
    with pooler(url) as pooled:
        async with server(pooled, url) as one, server(pooled, url) as other:
            assert one.hearing
            tasks = await waiting(one, ["log"])
            other.report("log")
            await woken(tasks)


async def test_a_way_that_leads_to_another_database_is_found_out(url: str) -> None:
    with shared_postgres().database() as another:
        async with server(url, another) as one:
            assert not one.hearing
