"""What a background run emits is written down, whatever befalls the disk meanwhile."""

import asyncio
import contextlib
import sqlite3
import time
from pathlib import Path

import msgspec
import pytest
from openai import OpenAI
from tests.api.test_background import WORDS, begin, ended, held
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Gate, Upstream
from tests.store.contract.kit import P, turn
from tests.stream.test_machine import call, machine, message

from antiphon.engine.background.journal import Journal
from antiphon.engine.checkpoint import Checkpoint
from antiphon.engine.emission import Emission
from antiphon.engine.event_log import EventLog
from antiphon.store.errors import LostRun
from antiphon.store.runs import AcceptedRun
from antiphon.store.sqlite.database import open_sqlite
from antiphon.store.store import Store
from antiphon.stream.machine import Machine

FAILS = 0.4
"""Seconds for which the disk fails: longer than events are gathered, and shorter than a lease."""


def fail(path: Path, statement: str, seconds: float) -> None:
    """The disk refuses such a statement for a while."""
    until = time.time() + seconds
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(
            f"""CREATE TRIGGER refused BEFORE {statement}
            WHEN (julianday('now') - 2440587.5) * 86400 < {until}
            BEGIN SELECT RAISE(ABORT, 'disk I/O error'); END"""
        )
        db.commit()


def mend(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("DROP TRIGGER refused")
        db.commit()


async def begun(path: Path) -> tuple[Store, Machine, EventLog, Journal]:
    """A run that is ours, and what writes it down."""
    store, made = await open_sqlite(path), machine()
    made.create()
    run = AcceptedRun(turn("a", says=()), b"sealed", [], streamed=True)
    claim = await store.runs.accept(P, run, 1, "me", 60)
    assert claim is not None
    return store, made, EventLog(made, None), Journal(store.runs, claim, Checkpoint())


@pytest.mark.parametrize("statement", ["INSERT ON events", "UPDATE ON runs", "INSERT ON items"])
@pytest.mark.parametrize("after", [0, 3])
def test_a_failed_write_is_tried_again_with_all_its_events(
    upstream: Upstream, tmp_path: Path, statement: str, after: int
) -> None:
    """Those of the log, of how far it is, and of the end."""
    gate = Gate(after=after)
    upstream.script(held(gate))
    with Running(config_for(upstream, tmp_path)) as server, checked_client(server.url) as client:
        stream = client.responses.create(model="m", input="hi", background=True, stream=True)
        gate.wait_reached()
        fail(tmp_path / "antiphon.db", statement, FAILS)
        gate.open()
        told = list(stream)
    assert [event.sequence_number for event in told] == list(range(len(told)))
    assert told[-1].type == "response.completed"
    assert told[-1].response.output_text == "one two three four"
    assert len(upstream.requests) == 1


def test_a_server_that_stops_does_not_wait_for_a_disk_that_fails(upstream: Upstream, tmp_path: Path) -> None:
    gate = Gate(after=3)
    upstream.script(held(gate), WORDS)
    config = config_for(upstream, tmp_path)
    with Running(config) as server, checked_client(server.url) as client:
        response = begin(client)
        gate.wait_reached()
        fail(tmp_path / "antiphon.db", "INSERT ON items", 3600)
        gate.open()
        upstream.last.wait_ended()
    mend(tmp_path / "antiphon.db")
    with Running(config) as server, checked_client(server.url) as client:
        message = ended(client, response.id).output[-1]
    assert message.content[0].text == "one two three four"  # type: ignore[union-attr]


def test_a_run_that_is_somebody_elses_is_given_up(client: OpenAI, upstream: Upstream) -> None:
    gate = Gate(after=3)
    upstream.script(held(gate))
    response = begin(client)
    gate.wait_reached()
    client.responses.delete(response.id)
    upstream.requests[-1].wait_gone()


@pytest.mark.parametrize("end", ["goes on", "ends", "is left"])
async def test_what_has_to_be_waited_for_is_in_the_log_also_when_the_run_is_over_before(
    tmp_path: Path, end: str
) -> None:
    store, made, events, journal = await begun(tmp_path / "antiphon.db")
    made.start()
    async with Emission(events, journal.write, at_once=journal.write_at_once) as emission:
        await emission.flush()
        call(made).close()
        assert not emission.flush_at_once()
        message(made)
        if end == "goes on":
            await emission.flush()
        elif end == "ends":
            made.cancel(None)
            await journal.finish(made.snapshot(), events.drain(), ())
            await emission.flush()
        else:
            await journal.write(events.drain())
            await journal.flush()

    found = await store.runs.events_after(P, "a", -1)
    await store.close()
    assert found is not None
    told = [msgspec.json.decode(line) for line in found.events]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    kinds = [event["type"].removeprefix("response.") for event in told]
    assert kinds[:2] == ["created", "in_progress"]
    assert kinds.count("output_item.added") == 2


async def test_nobody_is_told_of_an_end_before_the_run_has_ended(tmp_path: Path) -> None:
    """However many writes wait for the disk when it ends."""
    path = tmp_path / "antiphon.db"
    store, made, events, journal = await begun(path)
    fail(path, "UPDATE OF status ON runs", 3600)
    with contextlib.closing(sqlite3.connect(path)) as disk:
        disk.execute("BEGIN IMMEDIATE")  # it is busy
        made.start()
        await journal.write(events.drain())
        waiting = [asyncio.create_task(journal.flush()) for _ in range(2)]
        for _ in range(4):
            await asyncio.sleep(0)
        made.cancel(None)
        end = asyncio.create_task(journal.finish(made.snapshot(), events.drain(), ()))
        await asyncio.sleep(0)
        disk.rollback()
        await asyncio.gather(*waiting)
    found = await store.runs.events_after(P, "a", -1)
    journal.stop()
    with pytest.raises(LostRun):
        await end
    await store.close()
    assert found is not None
    told = [msgspec.json.decode(line)["type"] for line in found.events]
    assert told == ["response.created", "response.in_progress"]


async def test_nobody_is_told_of_an_end_that_was_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was to be written in a moment does not come behind the end with what only the end may tell."""
    monkeypatch.setattr("antiphon.engine.background.journal.GATHER", 0)
    path = tmp_path / "antiphon.db"
    store, made, events, journal = await begun(path)
    fail(path, "UPDATE OF status ON runs", 3600)
    with contextlib.closing(sqlite3.connect(path)) as disk:
        disk.execute("BEGIN IMMEDIATE")  # it is busy
        made.start()
        flushed = asyncio.create_task(journal.flush())
        await asyncio.sleep(0)
        assert journal.write_at_once(events.drain())
        made.cancel(None)
        end = asyncio.create_task(journal.finish(made.snapshot(), events.drain(), ()))
        for _ in range(4):
            await asyncio.sleep(0)
        disk.rollback()
        await flushed
    journal.stop()
    with pytest.raises(LostRun):
        await end
    for _ in range(4):
        await asyncio.sleep(0)
    await store.close()
    store = await open_sqlite(path)
    found = await store.runs.events_after(P, "a", -1)
    await store.close()
    assert found is not None
    assert not [line for line in found.events if b"response.cancelled" in line]
