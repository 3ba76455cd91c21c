"""Workers that begin while the database is away, as one does that takes the place of another."""

import base64
import contextlib
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos.processes import workers_of
from tests.postgres import Postgres
from tests.test_cli import Serve, Served, serve

__all__ = ["serve"]


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


def until_both_serve(server: Served) -> None:
    """Each of them has connections."""
    port, held = int(server.url.rpartition(":")[2]), [0]
    with contextlib.ExitStack() as stack:
        while len(held) < 2 or 0 in held:
            with contextlib.suppress(OSError):  # a worker made way that had it
                stack.enter_context(socket.create_connection(("127.0.0.1", port)))
                metrics = server.ask("/metrics").decode()
                held = [int(found) for found in re.findall(r"antiphon_open_connections\{.*\} (\d+)", metrics)]


def lose(server: Served, postgres: Postgres) -> None:
    """The database goes away, and a worker with it: another one has begun."""
    postgres.stop("immediate")
    os.kill(workers_of(server.process.pid)[0], signal.SIGKILL)
    assert server.process.stdout
    assert any("the store is away: this worker makes way" in line for line in server.process.stdout)


@pytest.mark.parametrize("comes_back", [True, False])
def test_a_worker_that_cannot_reach_the_database_yet_takes_no_others_along(
    serve: Serve, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comes_back: bool
) -> None:
    monkeypatch.setenv("SEALING_KEY_OF_THE_TEST", base64.b64encode(bytes(32)).decode())
    (tmp_path / "antiphon.toml").write_text(
        f'[store]\nurl = "{postgres.url(postgres.create())}"\nsealing_key_env = "SEALING_KEY_OF_THE_TEST"\n'
    )
    with serve("--upstream", "http://127.0.0.1:9/v1", "--workers", "2") as server:
        until_both_serve(server)
        lose(server, postgres)
        if comes_back:
            postgres.start()
            until_both_serve(server)
        server.process.send_signal(signal.SIGTERM)

        assert server.process.wait(60) == 0
