"""/metrics of a server with several workers: whichever answers tells of all."""

import contextlib
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
from tests.scripted import Answer, Upstream
from tests.test_cli import Serve, Served, serve

__all__ = ["serve"]

RESPONSES = re.compile(r'antiphon_responses_total\{status="completed"\} (\S+)')
TOKENS = re.compile(r'antiphon_tokens_total\{kind="input"\} (\S+)')
DURATIONS = re.compile(r"antiphon_response_seconds_count (\S+)")


def ask(server: Served, path: str = "/metrics", **body: object) -> str:
    """Over a connection of its own, so any worker may get it."""
    with httpx2.Client(base_url=server.url.removesuffix("/v1"), timeout=30) as http:
        told = http.post(path, json=body) if body else http.get(path)
        return told.raise_for_status().text


def counted(server: Served, what: re.Pattern[str]) -> float:
    found = what.search(ask(server))
    return float(found[1]) if found else 0


def workers(server: Served) -> list[int]:
    """Their processes: those with the server's port."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in command_of(child)]


def command_of(process: str) -> bytes:
    """Empty for one that has ended meanwhile."""
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return b""


@contextlib.contextmanager
def two_workers(serve: Serve, upstream: Upstream) -> Iterator[Served]:
    with serve("--upstream", upstream.base_url, "--workers", "2") as server:
        yield server


def test_whichever_worker_answers_tells_of_all(serve: Serve, upstream: Upstream) -> None:
    upstream.default = Answer("Hello")
    with two_workers(serve, upstream) as server:
        for _ in range(12):
            ask(server, "/v1/responses", model="m", input="Hi")

        told = [counted(server, RESPONSES) for _ in range(12)]

        assert told == [12.0] * 12
        assert counted(server, DURATIONS) == 12


def test_no_counter_goes_backwards_when_workers_are_killed(serve: Serve, upstream: Upstream) -> None:
    upstream.default = Answer("Hello")
    with two_workers(serve, upstream) as server:
        for _ in range(8):
            ask(server, "/v1/responses", model="m", input="Hi")
        before = [counted(server, each) for each in (RESPONSES, TOKENS, DURATIONS)]
        killed = workers(server)
        for worker in killed:
            os.kill(worker, signal.SIGKILL)

        after: list[float] = []
        while not after:
            with contextlib.suppress(httpx2.TransportError):
                if not set(workers(server)) & set(killed):
                    after = [counted(server, each) for each in (RESPONSES, TOKENS, DURATIONS)]
        ask(server, "/v1/responses", model="m", input="Hi")

        assert after == before
        assert counted(server, RESPONSES) == 9


def test_the_numbers_of_workers_leave_nothing_on_the_disk(serve: Serve, upstream: Upstream) -> None:
    with two_workers(serve, upstream) as server:
        environment = Path(f"/proc/{workers(server)[0]}/environ").read_bytes().split(b"\0")
        named = b"PROMETHEUS_MULTIPROC_DIR="
        (folder,) = (each.removeprefix(named) for each in environment if each.startswith(named))
        assert Path(os.fsdecode(folder)).is_dir()

        server.process.send_signal(signal.SIGTERM)
        server.process.wait(30)

        assert not Path(os.fsdecode(folder)).exists()
