"""Limits of keys hold for all workers of all servers together, on both homes of the store."""

import asyncio
import base64
import contextlib
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx2
import pytest
from openai import OpenAI
from tests.api.test_background import begin, ended
from tests.kept_at import new_store
from tests.scripted import Answer, Gate, Upstream, Usage
from tests.test_cli import Serve, Served, serve

from antiphon.config import hash_key

__all__ = ["serve"]

KEY = "sk-shared"
HEAD = {"authorization": f"Bearer {KEY}", "connection": "close"}
AT_ONCE = 40
A_FEW = 1.03
UNUSED_SECONDS = 5.0
"""Longer than something lies unused that was reserved for an answer that took less."""


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The lines of the configuration that say where servers keep."""
    url = new_store(request.param).url
    monkeypatch.setenv("SEALING_KEY_OF_THE_TEST", base64.b64encode(bytes(32)).decode())
    return f'url = "{url}"\nsealing_key_env = "SEALING_KEY_OF_THE_TEST"' if url else ""


@contextlib.contextmanager
def two_servers(serve: Serve, config: Path) -> Iterator[Sequence[Served]]:
    """Of three workers each."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(serve("--config", str(config), "--workers", "3")) for _ in range(2)]


def written(folder: Path, store: str, upstream: Upstream, limits: str) -> Path:
    path = folder / "limited.toml"
    path.write_text(f"""
[server.keys]
shared = "{hash_key(KEY)}"

[keys.shared]
{limits}

[store]
{store}

[backends.upstream]
base_url = "{upstream.base_url}"
dialect = "generic"
default = true

[sandbox]
driver = "none"
""")
    return path


async def burst(servers: Sequence[Served], count: int) -> Counter[int]:
    """How many of so many requests got which status. Each comes by a connection of its own, so any worker may
    get it."""
    room, told = asyncio.Semaphore(AT_ONCE), Counter[int]()

    async def ask(http: httpx2.AsyncClient, number: int) -> None:
        async with room:
            url = f"{servers[number % len(servers)].url}/v1/responses"
            answer = await http.post(url, json={"model": "m", "input": "Hi"}, headers=HEAD)
            told[answer.status_code] += 1

    async with httpx2.AsyncClient(timeout=120) as http:
        await asyncio.gather(*(ask(http, number) for number in range(count)))
    return told


def test_a_burst_gets_no_more_requests_than_the_limit(
    serve: Serve, upstream: Upstream, tmp_path: Path, store: str
) -> None:
    upstream.default = Answer("Hello")
    config = written(tmp_path, store, upstream, "requests_per_minute = 100")
    with two_servers(serve, config) as servers:
        began = time.monotonic()
        told = asyncio.run(burst(servers, 300))
        minutes = 1 + int((time.monotonic() - began) / 60)

    assert told[200] + told[429] == 300
    assert 95 <= told[200] <= 100 * A_FEW * minutes


def test_bursts_get_no_more_tokens_than_the_limit_and_in_the_end_nearly_all(
    serve: Serve, upstream: Upstream, tmp_path: Path, store: str
) -> None:
    """A month's, which do not come back meanwhile, however long it takes here."""
    upstream.default = Answer("Hello", usage=Usage(60, 140))
    config = written(tmp_path, store, upstream, "token_budget = 20_000")
    answered, refusing, last = 0, 0, 0.0
    with two_servers(serve, config) as servers:
        while refusing < 3 or time.monotonic() - last < UNUSED_SECONDS:
            told = asyncio.run(burst(servers, 60))
            assert told[200] + told[429] == 60
            answered += told[200]
            refusing = 0 if told[200] else refusing + 1
            last = time.monotonic() if told[200] else last

    assert 0.95 * 20_000 <= answered * 200 <= A_FEW * 20_000


def test_so_many_are_answered_at_once_and_no_more_whoever_answers(
    serve: Serve, upstream: Upstream, tmp_path: Path, store: str
) -> None:
    gates = [Gate(after=0) for _ in range(4)]
    upstream.script(*(Answer("Hello", gate=gate) for gate in gates))
    config = written(tmp_path, store, upstream, "concurrency = 4")

    async def crowd(servers: Sequence[Served]) -> tuple[Counter[int], Counter[int]]:
        first = asyncio.create_task(burst(servers, 4))
        for gate in gates:
            await gate.reached()
        more = await burst(servers, 16)
        for gate in gates:
            gate.open()
        return await first, more

    with two_servers(serve, config) as servers:
        first, more = asyncio.run(crowd(servers))

    assert (first, more) == ({200: 4}, {429: 16})


def test_what_a_killed_server_had_accepted_is_counted_by_who_ends_it(
    serve: Serve, upstream: Upstream, tmp_path: Path, store: str
) -> None:
    gate = Gate(after=0)
    upstream.default = Answer("Hello", gate=gate, usage=Usage(5000, 5000))
    config = written(tmp_path, store, upstream, "token_budget = 10_000")
    with serve("--config", str(config)) as server:
        with client_of(server) as client:
            begun = begin(client).id
        gate.wait_reached()
        os.killpg(server.process.pid, signal.SIGKILL)
    gate.open()

    with serve("--config", str(config)) as server, client_of(server) as client:
        assert ended(client, begun).status == "completed"
        told = asyncio.run(burst([server], 1))

    assert told == {429: 1}


@contextlib.contextmanager
def client_of(server: Served) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client
