"""Several servers on one PostgreSQL share its queue, whatever becomes of one of them."""

import contextlib
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest
from openai import OpenAI
from openai.types.responses import Response
from tests.api.test_background import ended
from tests.conftest import checked_client
from tests.engine.test_deaths import Deadly, revive
from tests.killed import Killed
from tests.pooler import needs_pooler, pooler
from tests.postgres import Postgres, shared_postgres
from tests.scripted import Answer, Gate, Upstream

TAKEN_OVER = 10.0
"""Seconds in which another server goes on with what one has left."""
KEY = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


class Servers:
    """They have a database in common, and an upstream."""

    def __init__(self, url: str, home: Path, upstream: Upstream, **more: str) -> None:
        self.url = url
        settings = {
            "ANTIPHON_STORE_URL": url,
            **more,
            "ANTIPHON_STORE_SEALING_KEY_ENV": "SEALING_KEY",
            "SEALING_KEY": KEY,
        }
        self._new = lambda: Killed(home, upstream, settings=settings)
        self._stack = ExitStack()

    def __enter__(self) -> "Servers":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self) -> Killed:
        return self._stack.enter_context(self._new())

    def client(self, server: Killed) -> OpenAI:
        return self._stack.enter_context(checked_client(server.url))

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True) as db:
            return db.execute(sql).fetchall()  # type: ignore[arg-type]

    def jobs(self) -> list[tuple[object, ...]]:
        return self.rows(
            "SELECT queue_name, status FROM antiphon_queue.procrastinate_jobs WHERE queue_name = 'runs'"
        )


@pytest.fixture
def servers(tmp_path: Path, upstream: Upstream) -> Iterator[Servers]:
    with shared_postgres().database() as url, Servers(url, tmp_path, upstream) as servers:
        yield servers


def begin(client: OpenAI, text: str = "Hi") -> Response:
    return client.responses.create(model="m", input=text, background=True)


@contextmanager
def waiting_answer(upstream: Upstream) -> Iterator[Gate]:
    """The next answer waits. What is asked later is answered at once."""
    gate = Gate(after=0)
    upstream.script(Answer("Late.", gate=gate))
    upstream.default = Answer("Fine.")
    try:
        yield gate
    finally:
        gate.open()


def test_what_a_killed_server_did_another_one_goes_on_with(servers: Servers, upstream: Upstream) -> None:
    with waiting_answer(upstream) as gate:
        dying, living = servers.start(), servers.start()
        response = begin(servers.client(dying))
        gate.wait_reached()
        dying.kill()
        began = time.monotonic()
        done = ended(servers.client(living), response.id)
    assert (done.status, done.output_text) == ("completed", "Fine.")
    assert time.monotonic() - began < TAKEN_OVER
    assert servers.jobs() == []


def test_a_server_that_comes_back_from_a_long_pause_ends_nothing_that_is_another_ones(
    servers: Servers, upstream: Upstream
) -> None:
    first, second = Gate(after=0), Gate(after=0)
    upstream.script(Answer("Zombie.", gate=first), Answer("Living.", gate=second))
    asleep = servers.start()
    client = servers.client(asleep)
    response = begin(client)
    first.wait_reached()
    living = servers.start()
    asleep.signal(signal.SIGSTOP)
    second.wait_reached()  # the other one has taken it over
    first.open()
    asleep.signal(signal.SIGCONT)

    assert client.responses.retrieve(response.id).status == "in_progress"  # it is awake, and has answered
    assert servers.jobs() == [("runs", "doing")]
    second.open()

    assert ended(servers.client(living), response.id).output_text == "Living."
    assert servers.jobs() == []


def test_a_database_that_was_gone_for_a_moment_is_found_again_and_all_ends(
    tmp_path: Path, upstream: Upstream
) -> None:
    with (
        Postgres() as database,
        database.database() as url,
        Servers(url, tmp_path, upstream) as servers,
        waiting_answer(upstream) as gate,
    ):
        server = servers.start()
        client = servers.client(server)
        response = begin(client)
        gate.wait_reached()
        database.restart("immediate")
        gate.open()
        assert ended(client, response.id).status == "completed"
        assert ended(client, begin(client).id).status == "completed"
        assert servers.jobs() == []


def test_a_server_stops_while_the_database_is_away_and_its_run_goes_on_when_it_is_back(
    tmp_path: Path, upstream: Upstream
) -> None:
    with (
        Postgres() as database,
        database.database() as url,
        Servers(url, tmp_path, upstream) as servers,
        waiting_answer(upstream) as gate,
    ):
        stopped, other = servers.start(), servers.start()
        response = begin(servers.client(stopped))
        gate.wait_reached()
        database.stop("immediate")
        said = stopped.stop()
        database.start()
        assert ended(servers.client(other), response.id).status == "completed"
    assert "work could not be left to others" in said
    assert "Traceback" not in said
    assert "ERROR" not in said


def test_a_run_is_cancelled_from_another_server(servers: Servers, upstream: Upstream) -> None:
    with waiting_answer(upstream) as gate:
        carrying, other = servers.start(), servers.start()
        response = begin(servers.client(carrying))
        gate.wait_reached()
        cancelled = servers.client(other).responses.cancel(response.id)
    assert cancelled.status == "cancelled"
    assert servers.jobs() == []


def test_without_notices_all_is_found_by_looking(servers: Servers, upstream: Upstream) -> None:
    one, other = servers.start(), servers.start()
    servers.rows("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    gate = Gate(after=3)
    upstream.script(Answer("One two three four", gate=gate))
    stream = servers.client(one).responses.create(model="m", input="Hi", background=True, stream=True)
    created = next(iter(stream))
    gate.wait_reached()
    gate.open()
    read = servers.client(other).responses.retrieve(created.response.id, stream=True)
    assert [event.type for event in read][-1] == "response.completed"
    stream.close()


def test_a_run_that_kills_three_servers_fails(servers: Servers, upstream: Upstream) -> None:
    server = servers.start()
    deadly = Deadly(server, upstream)
    with contextlib.suppress(Exception):
        begin(servers.client(server), "poison")
    for _ in range(3):
        revive(server, deadly)
    ((response_id,),) = servers.rows("SELECT id FROM runs")
    done = ended(servers.client(server), str(response_id))
    assert (done.status, deadly.deaths) == ("failed", 3)
    assert servers.jobs() == []


@needs_pooler
@pytest.mark.parametrize("around", [True, False], ids=["listen_url", "without"])
def test_behind_a_pooler_of_connections_servers_share_as_well(
    around: bool, tmp_path: Path, upstream: Upstream
) -> None:
    with shared_postgres().database() as url, pooler(url) as pooled:
        more = {"ANTIPHON_STORE_LISTEN_URL": url} if around else {}
        with Servers(pooled, tmp_path, upstream, **more) as servers, waiting_answer(upstream) as gate:
            one, other = servers.start(), servers.start()
            first, second = (begin(servers.client(each)) for each in (one, other))
            gate.wait_reached()
            gate.open()
            assert {ended(servers.client(other), each.id).status for each in (first, second)} == {"completed"}
            assert servers.jobs() == []
