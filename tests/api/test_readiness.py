"""/readyz: whether requests may be sent to a server; and one that is told to stop."""

import base64
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.conftest import Running, config_for
from tests.kept_at import new_store
from tests.postgres import FAST, Postgres
from tests.s3 import S3
from tests.scripted import Answer, Gate, Upstream

from antiphon.config import Blobs, Server, Store, hash_key

READY = {"status": "ready", "store": "reachable", "queue": "reachable", "blobs": "reachable"}


def asked(url: str, within: float = 30) -> tuple[int, dict[str, str]]:
    answer = httpx2.get(f"{url}/readyz", timeout=within)
    return answer.status_code, answer.json()


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("home", ["sqlite", "postgres"])
def test_a_server_that_has_all_it_needs_is_ready_and_says_so_to_everybody(
    upstream: Upstream, tmp_path: Path, home: str
) -> None:
    config = config_for(upstream, tmp_path, Server(keys={"p": hash_key("sk-p")}))
    with Running(replace(config, store=new_store(home))) as running:
        assert asked(running.url) == (200, READY)


def test_what_is_away_is_named_soon_and_seen_when_it_is_back(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEAL", base64.b64encode(bytes(32)).decode())
    with S3() as s3, Postgres(FAST) as postgres:
        for name, value in s3.variables.items():
            monkeypatch.setenv(name, value)
        bucket = s3.bucket()
        store = Store(url=postgres.url(postgres.create()), sealing_key_env="SEAL")
        config = replace(config_for(upstream, tmp_path), store=store, blobs=Blobs(url=bucket))
        with Running(config) as running:
            assert asked(running.url) == (200, READY)

            s3.stop()
            until(lambda: asked(running.url)[1] == READY | {"status": "not ready", "blobs": "unreachable"})
            postgres.stop("immediate")
            nothing = {"store": "unreachable", "queue": "unreachable", "blobs": "unreachable"}
            until(lambda: asked(running.url) == (503, {"status": "not ready"} | nothing))
            began = time.monotonic()
            asked(running.url)
            assert time.monotonic() - began < 10

            s3.start()
            s3.make(bucket)
            postgres.start()
            until(lambda: asked(running.url) == (200, READY))


def test_a_database_that_is_silent_is_named_as_soon(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEAL", base64.b64encode(bytes(32)).decode())
    with Postgres(FAST) as postgres:
        store = Store(url=postgres.url(postgres.create()), sealing_key_env="SEAL")
        with Running(replace(config_for(upstream, tmp_path), store=store)) as running:
            assert asked(running.url) == (200, READY)
            with postgres.silent():
                nothing = {"status": "not ready", "store": "unreachable", "queue": "unreachable"}
                until(lambda: asked(running.url, within=3) == (503, READY | nothing))
                assert asked(running.url, within=3)[0] == 503
            until(lambda: asked(running.url) == (200, READY))


# ---- roles ------------------------------------------------------------------------------------------


def test_a_server_leaves_to_a_worker_what_goes_on_in_the_background(
    upstream: Upstream, tmp_path: Path
) -> None:
    upstream.default = Answer("Hello")
    config = config_for(upstream, tmp_path)
    with (
        Running(replace(config, server=Server(role="server", verify=True))) as server,
        OpenAI(base_url=f"{server.url}/v1", api_key="x", max_retries=0) as client,
    ):
        response = client.responses.create(model="m", input="Hi", background=True)
        file = client.files.create(file=("a.txt", b"An oak."), purpose="user_data")
        store = client.vector_stores.create(file_ids=[file.id])
        assert client.responses.create(model="m", input="Hi").output_text == "Hello"
        assert client.responses.retrieve(response.id).status == "queued"
        assert client.vector_stores.retrieve(store.id).file_counts.in_progress == 1

        with Running(replace(config, server=Server(role="worker", verify=True))) as worker:
            until(lambda: client.responses.retrieve(response.id).status == "completed")
            until(lambda: client.vector_stores.retrieve(store.id).file_counts.completed == 1)
            assert client.responses.retrieve(response.id).output_text == "Hello"

            assert asked(worker.url) == (200, READY)
            assert httpx2.get(f"{worker.url}/healthz").text == "ok\n"
            assert 'antiphon_responses_total{status="completed"}' in httpx2.get(f"{worker.url}/metrics").text
            assert httpx2.get(f"{worker.url}/v1/models").status_code == 404
            assert httpx2.post(f"{worker.url}/v1/responses", json={"model": "m"}).status_code == 404


def test_a_response_that_waits_for_a_worker_can_be_cancelled(upstream: Upstream, tmp_path: Path) -> None:
    config = config_for(upstream, tmp_path, Server(role="server", verify=True))
    with Running(config) as server, OpenAI(base_url=f"{server.url}/v1", api_key="x") as client:
        response = client.responses.create(model="m", input="Hi", background=True)

        assert client.responses.cancel(response.id).status == "cancelled"


# ---- told to stop -----------------------------------------------------------------------------------


@contextlib.contextmanager
def served(
    upstream: Upstream, tmp_path: Path, **variables: str
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    command = [sys.executable, "-m", "antiphon", "serve", "--port", "0", "--upstream", upstream.base_url]
    given = {"ANTIPHON_DATA_DIR": str(tmp_path), "ANTIPHON_SANDBOX_DRIVER": "none", **variables}
    with subprocess.Popen(
        command, env={**os.environ, **given}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            assert process.stdout is not None
            url = next(line.split()[-1] for line in process.stdout if "listens on" in line)
            yield process, url.removesuffix("/v1")
        finally:
            process.kill()


def test_a_server_that_is_told_to_stop_is_seen_to_and_its_runs_move_on_at_once(
    upstream: Upstream, tmp_path: Path
) -> None:
    gate = Gate(after=1)
    upstream.script(Answer("one two", size=4, gate=gate), Answer("one two"), Answer("Hello"), Answer("Hello"))
    with (
        served(upstream, tmp_path, ANTIPHON_SERVER_DRAIN_SECONDS="300") as (process, url),
        OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client,
    ):
        first = client.responses.create(model="m", input="Hi", background=True)
        gate.wait_reached()
        with Running(config_for(upstream, tmp_path)) as other:
            process.send_signal(signal.SIGTERM)

            until(lambda: asked(url) == (503, READY | {"status": "draining"}))
            until(lambda: client.responses.retrieve(first.id).status == "completed")
            second = client.responses.create(model="m", input="Hi", background=True)
            until(lambda: client.responses.retrieve(second.id).status == "completed")
            assert client.responses.create(model="m", input="Hi").output_text == "Hello"
            assert asked(other.url) == (200, READY)
            assert process.poll() is None

            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        gate.open()


def test_a_stream_has_its_grace(upstream: Upstream, tmp_path: Path) -> None:
    gate = Gate(after=1)
    upstream.script(Answer("one two", size=4, gate=gate))
    with (
        served(upstream, tmp_path, ANTIPHON_SERVER_STOP_SECONDS="300") as (process, url),
        OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client,
    ):
        told = client.responses.create(model="m", input="Hi", stream=True)
        gate.wait_reached()
        process.send_signal(signal.SIGTERM)
        until(lambda: _refuses(url))
        gate.open()

        assert [event.type for event in told][-1] == "response.completed"
        assert process.wait(60) == 0


def _refuses(url: str) -> bool:
    try:
        httpx2.get(f"{url}/healthz")
    except httpx2.ConnectError:
        return True
    except httpx2.TransportError:  # it was let in, and never heard
        return False
    return False
