"""What a background run emits is written down, whatever befalls the disk meanwhile."""

import contextlib
import sqlite3
import time
from pathlib import Path

import pytest
from openai import OpenAI
from tests.api.test_background import WORDS, begin, ended, held
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Gate, Upstream

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
