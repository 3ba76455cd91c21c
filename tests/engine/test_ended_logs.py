"""A run whose log has its end before the run does: whoever finds it has only that to write down."""

import contextlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from tests.api.test_background import begin, ended
from tests.conftest import Running, checked_client, config_for
from tests.killed import Killed
from tests.scripted import Answer, Gate, Upstream

from antiphon.engine.background import run_worker

LONGEST = 60.0


def until(holds: Callable[[], bool]) -> None:
    last = time.monotonic() + LONGEST
    while not holds():
        assert time.monotonic() < last, "it did not come"
        time.sleep(0.05)


ENDS: dict[str, tuple[Answer, dict[str, Any]]] = {
    "completed": (Answer("Fine."), {}),
    "incomplete": (Answer("Fi", finish="length"), {"max_output_tokens": 16}),
    "failed": (Answer("Fi", error={"error": {"message": "No.", "type": "server_error"}}), {}),
    "cancelled": (Answer("Fi"), {}),
}


@pytest.mark.parametrize("status", ENDS)
@pytest.mark.parametrize("stream", [False, True], ids=["polled", "streamed"])
def test_a_server_that_dies_before_the_end_of_the_run_ends_it_when_it_is_back(
    upstream: Upstream, tmp_path: Path, status: str, stream: bool
) -> None:
    died = tmp_path / "died"
    answer, members = ENDS[status]
    gate = Gate(after=2) if status == "cancelled" else None
    upstream.default = replace(answer, gate=gate)
    with (
        Killed(tmp_path, upstream, "tests.engine.dies_at_end", settings={"DIED": str(died)}) as server,
        checked_client(server.url) as client,
    ):
        with contextlib.suppress(Exception):
            begin_so(client, stream, members)
            if gate is not None:
                gate.wait_reached()
                client.responses.cancel(newest(server.database), timeout=LONGEST)
        until(died.exists)
        server.kill()
        server.start()
        response = ended(client, newest(server.database))
    assert response.status == status
    assert response.output_text == answer.text
    assert (response.usage is not None) == (status in ("completed", "incomplete"))


def begin_so(client: OpenAI, stream: bool, members: dict[str, Any]) -> None:
    if stream:
        client.responses.create(model="m", input="hi", background=True, stream=True, **members).close()
    else:
        begin(client, **members)


def newest(database: Path) -> str:
    with contextlib.closing(sqlite3.connect(database)) as db:
        found: str = db.execute("SELECT id FROM responses ORDER BY key DESC LIMIT 1").fetchone()[0]
        return found


def test_a_run_whose_end_can_never_be_written_as_its_log_gives_it_fails(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours: it must not be met again for ever."""
    config, gate = config_for(upstream, tmp_path), Gate(after=3)
    upstream.default = Answer("One two three.", size=4, gate=gate)
    with Running(config) as running, checked_client(running.url) as client:
        response = begin(client)
        gate.wait_reached()
    with contextlib.closing(sqlite3.connect(tmp_path / "antiphon.db")) as db, db:
        db.execute("UPDATE runs SET claims = ?", [run_worker.CLAIMS + 1])
    whole = run_worker.activity_of

    def fails(project: str, response: Any, **members: Any) -> Any:
        assert not response.output, "it cannot be written"
        return whole(project, response, **members)

    monkeypatch.setattr(run_worker, "activity_of", fails)
    with Running(config) as running, checked_client(running.url) as client:
        done = ended(client, response.id)
    assert (done.status, done.output) == ("failed", [])
