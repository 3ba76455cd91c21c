"""A background run that kills its server must not do so for ever, nor take others along."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from openai.types.responses import Response
from tests.api.test_background import ended
from tests.conftest import checked_client
from tests.killed import Killed
from tests.scripted import Answer, Gate, Upstream

from antiphon.engine.background.owner import is_dead, owner_name


class Deadly:
    """A model whose server kills ours whenever it is asked for poison."""

    def __init__(self, server: Killed, upstream: Upstream) -> None:
        self._server = server
        self.deaths = 0
        self.died = threading.Semaphore(0)
        upstream.on(self._kills, Answer("never"))

    def _kills(self, body: Any) -> bool:
        if "poison" not in str(body["messages"]):
            return False
        self.deaths += 1
        assert self._server.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._server.process.pid, signal.SIGKILL)
        self.died.release()
        return True


@pytest.fixture
def server(upstream: Upstream, tmp_path: Path) -> Iterator[Killed]:
    with Killed(tmp_path, upstream) as killed:
        yield killed


def begin(client: OpenAI, text: str) -> Response:
    return client.responses.create(model="m", input=text, background=True)


def revive(server: Killed, deadly: Deadly) -> None:
    assert deadly.died.acquire(timeout=20), "nothing killed it"
    server.kill()
    server.start()


def test_a_run_that_kills_its_server_three_times_fails(server: Killed, upstream: Upstream) -> None:
    deadly = Deadly(server, upstream)
    with checked_client(server.url) as client:
        with contextlib.suppress(Exception):
            begin(client, "poison")
        for _ in range(3):
            revive(server, deadly)
        done = ended(client, newest(server))
    assert done.status == "failed"
    assert done.error is not None
    assert done.error.code == "server_error"
    assert "died 3 times" in done.error.message
    assert deadly.deaths == 3


def newest(server: Killed) -> str:
    """The run that was accepted last, whether or not the client heard of it in time."""
    with contextlib.closing(sqlite3.connect(server.database)) as db:
        found: str = db.execute("SELECT id FROM runs ORDER BY key DESC LIMIT 1").fetchone()[0]
        return found


def test_its_neighbours_are_not_taken_along(server: Killed, upstream: Upstream) -> None:
    gates = [Gate(after=0) for _ in range(2)]
    for number, gate in enumerate(gates):
        upstream.on(lambda body, n=number: f"good {n}" in str(body["messages"]), Answer("Fine.", gate=gate))
    with checked_client(server.url) as client:
        good = [begin(client, f"good {number}") for number in range(2)]
        for gate in gates:
            gate.wait_reached()
        deadly = Deadly(server, upstream)
        with contextlib.suppress(Exception):
            begin(client, "poison")
        poison = newest(server)
        for _ in range(2):
            revive(server, deadly)
        for gate in gates:
            gate.open()
        revive(server, deadly)  # it was done alone: the others had ended
        assert ended(client, poison).status == "failed"
        assert [ended(client, each.id).status for each in good] == ["completed", "completed"]


def test_a_clean_stop_is_no_death(server: Killed, upstream: Upstream) -> None:
    gate = Gate(after=0)
    upstream.default = Answer("Fine.", gate=gate)
    with checked_client(server.url) as client:
        response = begin(client, "Hi")
        for _ in range(4):
            gate.wait_reached()
            server.stop()
            gate = Gate(after=0)
            upstream.default = Answer("Fine.", gate=gate)
            server.start()
        gate.open()
        assert ended(client, response.id).status == "completed"


def test_a_process_that_lives_is_not_dead() -> None:
    assert not is_dead(owner_name())


def test_a_process_that_ended_is_dead() -> None:
    code = "from antiphon.engine.background.owner import owner_name; print(owner_name())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert is_dead(done.stdout.strip())


def test_a_process_of_another_machine_that_is_silent_is_taken_for_dead() -> None:
    assert is_dead(f"{owner_name().partition('@')[0]}@elsewhere")


@pytest.mark.parametrize("name", ["", "req_1", "abc.def.ghi"])
def test_of_a_name_that_says_nothing_nothing_is_assumed(name: str) -> None:
    assert not is_dead(name)


def test_a_number_that_is_used_again_is_another_process() -> None:
    pid, begun, rest = owner_name().split(".")
    assert is_dead(f"{pid}.{int(begun or 0) + 1}.{rest}")
