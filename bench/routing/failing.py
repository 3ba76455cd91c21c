"""Three model servers behind one Antiphon: all well, and then one that hangs, one that is gone, and one that
works.

Servers fail in the moment in which the load begins, so nobody knows of it yet.
"""

import asyncio
import json
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop

from bench import server, upstream
from bench.client import Job, Seen
from bench.measure import percentile
from bench.server import HOST, Server

COUNT, AT_ONCE = 1000, 16


class Fleet:
    """Three servers in a thread of their own, and what they were asked and have answered."""

    def __init__(self) -> None:
        self.ports = [server.free_port() for _ in range(3)]
        self.asked = [0, 0, 0]
        self.answered = 0
        self._hanging: set[int] = set()
        self._loop = uvloop.new_event_loop()
        self._listening: dict[int, asyncio.Server] = {}
        self.connections: list[set[asyncio.Transport]] = [set(), set(), set()]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        for number in range(3):
            self._do(self._listen(number))
        yield
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def hang(self, number: int) -> None:
        """It takes requests from now on, and says nothing."""
        self._hanging.add(number)

    def refuse(self, number: int) -> None:
        """It is gone, with all its connections."""
        self._do(self._close(number))

    def come_back(self) -> None:
        self._hanging.clear()
        for number in {0, 1, 2} - self._listening.keys():
            self._do(self._listen(number))

    def is_hanging(self, number: int) -> bool:
        return number in self._hanging

    def _do(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self, number: int) -> None:
        self._listening[number] = await self._loop.create_server(
            lambda: _Connection(self, number), HOST, self.ports[number], reuse_address=True
        )

    async def _close(self, number: int) -> None:
        listening = self._listening.pop(number)
        listening.close()
        for transport in self.connections[number].copy():
            transport.abort()


class _Connection(upstream.Connection):
    def __init__(self, fleet: Fleet, number: int) -> None:
        self._fleet = fleet
        self._number = number

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._fleet.connections[self._number].add(transport)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._fleet.connections[self._number].discard(self.transport)

    def _answer(self, request: bytes) -> None:
        posted = request.startswith(b"POST")
        self._fleet.asked[self._number] += posted
        if not self._fleet.is_hanging(self._number):
            self._fleet.answered += posted
            super()._answer(request)


def measured() -> Iterator[tuple[str, ...]]:
    """Rows: what happened, errors, requests to each server, answers, and times to the first delta."""
    fleet = Fleet()
    with fleet.running(), _antiphon(fleet) as subject:
        _asked(subject, 100)
        yield _row("all are well", fleet, subject)
        fleet.hang(0)
        fleet.refuse(1)
        yield _row("one hangs, one is gone", fleet, subject)
        yield _row("the same, known by now", fleet, subject)
        fleet.come_back()
        yield "the first is used again after", "", "", "", "", f"{_until_used(fleet, subject):.1f} s", ""


@contextmanager
def _antiphon(fleet: Fleet) -> Iterator[Server]:
    urls = [f"http://{HOST}:{port}/v1" for port in fleet.ports]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "antiphon.toml"
        lines = [
            "[backends.farm]",
            f"base_urls = {json.dumps(urls)}",
            "default = true",
            'dialect = "generic"',
        ]
        file.write_text("\n".join(lines), encoding="utf-8")
        with server.configured(file, Path(folder) / "data") as subject:
            yield subject


def _asked(subject: Server, count: int) -> Seen:
    bodies = [{"model": "paced-20", "input": f"Question {number}.", "stream": True} for number in range(97)]
    requests = [("POST", "/v1/responses", json.dumps(body)) for body in bodies]
    job = Job(subject.host, subject.port, requests, count, AT_ONCE, r'"type":\s*"response\.completed"')
    return server.load(job)


def _row(name: str, fleet: Fleet, subject: Server) -> tuple[str, ...]:
    fleet.asked, fleet.answered = [0, 0, 0], 0
    seen = _asked(subject, COUNT)
    times = (percentile(seen.first_deltas, rank) for rank in (50, 99, 100))
    asked = " + ".join(map(str, fleet.asked))
    return name, str(seen.errors), asked, str(fleet.answered), *(f"{time or 0:.1f}" for time in times)


def _until_used(fleet: Fleet, subject: Server) -> float:
    """Seconds until all servers are asked again."""
    loop = asyncio.new_event_loop()
    begun = loop.time()
    fleet.asked = [0, 0, 0]
    while min(fleet.asked) == 0 and loop.time() - begun < 60:
        _asked(subject, 50)
    found = loop.time() - begun
    loop.close()
    return found
