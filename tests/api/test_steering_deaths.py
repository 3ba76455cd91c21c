"""A server that is killed while a response is steered: what was said is in the store with the successor, or
the response did not end because of it."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from openai import OpenAI
from tests.conftest import checked_client
from tests.kept_at import new_store
from tests.killed import Killed
from tests.scripted import Answer, Gate, Upstream
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from antiphon.config import Store

Json = dict[str, Any]
ROUNDS = 1
POINTS = ("sent", "gone", "accepted", "incomplete", "created", "asked", "delta", "completed")
"""When it is killed: the upstream's view, or the event that was heard last."""


@pytest.fixture(params=["sqlite", "postgres"])
def kept(request: pytest.FixtureRequest) -> Store:
    return new_store(request.param)


@pytest.fixture
def server(kept: Store, upstream: Upstream, tmp_path: Path) -> Iterator[Killed]:
    settings = {} if kept.url is None else {"ANTIPHON_STORE_URL": kept.url}
    if kept.sealing_key_env is not None:
        settings["ANTIPHON_STORE_SEALING_KEY_ENV"] = kept.sealing_key_env
    with Killed(tmp_path, upstream, settings=settings) as killed:
        yield killed


def responses(server: Killed, kept: Store) -> dict[str, Json]:
    """All that are in the store."""
    sql = "SELECT id, json FROM responses"
    if kept.url is not None:
        with psycopg.connect(kept.url) as postgres:
            return {name: json.loads(bytes(row)) for name, row in postgres.execute(sql)}
    with contextlib.closing(sqlite3.connect(server.database)) as sqlite:
        return {name: json.loads(row) for name, row in sqlite.execute(sql)}


def heard(socket: ClientConnection, kind: str) -> Json:
    """The next event of a kind."""
    while (event := json.loads(socket.recv(timeout=60)))["type"] != f"response.{kind}":
        continue
    found: Json = event
    return found


def wait_for(point: str, socket: ClientConnection, upstream: Upstream) -> None:
    if point == "gone":
        upstream.requests[0].wait_gone()
    elif point == "asked":
        upstream.wait_requests(2)
    elif point in ("accepted", "incomplete"):
        heard(socket, "steer.accepted" if point == "accepted" else point)
    elif point != "sent":
        heard(socket, "incomplete")
        heard(socket, {"delta": "output_text.delta"}.get(point, point))


def steered(server: Killed, upstream: Upstream, point: str) -> str:
    """The response that is steered when the server is killed."""
    gate = Gate(after=4)
    upstream.reset()
    upstream.script(Answer("one two three", size=4, gate=gate), Answer("un deux trois", size=4))
    url = server.url.replace("http", "ws") + "/v1/responses"
    with contextlib.suppress(ConnectionClosed), connect(url) as socket:
        socket.send('{"type": "response.create", "model": "m", "input": "Count."}')
        response_id: str = heard(socket, "created")["response"]["id"]
        gate.wait_reached()
        steer = {"type": "response.steer", "previous_response_id": response_id, "input": "In French."}
        socket.send(json.dumps(steer))
        wait_for(point, socket, upstream)
        server.kill()
    server.start()
    return response_id


def check(server: Killed, upstream: Upstream, rows: dict[str, Json], target: str) -> bool:
    """Whether it ended because it was steered: then its successor is there, and can be continued."""
    successors = [name for name, row in rows.items() if row["previous_response_id"] == target]
    if target not in rows:
        assert successors == []
        return False
    assert rows[target]["incomplete_details"] == {"reason": "steered"}
    (successor,) = successors
    assert rows[successor]["status"] in ("failed", "completed")
    upstream.script(Answer("Fine."))
    with checked_client(server.url) as client:
        _continue(client, successor)
    messages = [message["content"] for message in upstream.last.body["messages"]]
    assert [text for text in messages if text in ("Count.", "In French.", "On.")] == [
        "Count.",
        "In French.",
        "On.",
    ]
    return True


def _continue(client: OpenAI, response_id: str) -> None:
    shown = client.responses.retrieve(response_id)
    assert (shown.error is None) == (shown.status == "completed")
    client.responses.create(model="m", input="On.", previous_response_id=response_id, store=False)


def test_a_kill_leaves_the_response_as_if_nothing_was_said_or_its_successor(
    server: Killed, upstream: Upstream, kept: Store
) -> None:
    committed = {}
    for turn in range(ROUNDS * len(POINTS)):
        point = POINTS[turn % len(POINTS)]
        target = steered(server, upstream, point)
        upstream.reset()
        committed[turn, point] = check(server, upstream, responses(server, kept), target)
    assert {point for (_, point), found in committed.items() if not found} <= {"sent", "gone", "accepted"}
