"""The load: requests at a given concurrency, each answer checked for its end.

A process of its own, told what to do in JSON on its standard input, and telling in JSON what it saw. It
searches answers for marks and parses nothing, so that what is measured is the server's work, not ours.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import uvloop

PATIENCE = 30.0
"""Seconds without a byte after which a connection counts as dead."""
_ID = re.compile(rb'"id":\s*"((?:resp|conv)_\w+)"')
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:\s*chunked", re.IGNORECASE)
DELTA = re.compile(
    rb"\.delta\"|\"delta\":\{\"(?:content\":\"[^\"]|tool_calls\":\[\{\"index\":0,\"function\")"
)
"""The beginning of what the model says, from us and from the upstream."""


@dataclass
class Job:
    """What to send. Requests are (method, path, body); they are taken in turn, over and over."""

    host: str
    port: int
    requests: list[tuple[str, str, str]]
    count: int
    concurrency: int = 1
    end: str = ""
    """What every good answer has in it, as a regular expression."""
    turns: int = 0
    """More than 0: `count` chains of so many turns, each continuing the response before it; one at a time."""


@dataclass
class Seen:
    """What came of it. Times are in seconds, in the order in which answers ended."""

    latencies: list[float] = field(default_factory=list)
    first_events: list[float] = field(default_factory=list)
    first_deltas: list[float] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    bytes: int = 0
    errors: int = 0
    first_error: str = ""
    seconds: float = 0.0
    cpu: float = 0.0
    """The load's own processor time: when it nears `seconds`, the load is the bottleneck."""


class Source(Protocol):
    """Gives the next request, knowing the answer to the last one; None ends the connection."""

    def next(self, answer: bytes | None) -> bytes | None: ...


class Spread:
    """The job's requests, shared out among all connections."""

    def __init__(self, job: Job) -> None:
        bodies = [request_bytes(job, *request) for request in job.requests]
        self._left: Iterator[bytes] = (bodies[n % len(bodies)] for n in range(job.count))

    def next(self, _answer: bytes | None) -> bytes | None:
        return next(self._left, None)


class Chain:
    """Turn after turn; `count` chains one after another."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._turn = 0

    def next(self, answer: bytes | None) -> bytes | None:
        job = self._job
        if self._turn == job.turns * job.count:
            return None
        method, path, body = job.requests[0]
        wanted = json.loads(body)
        found = _ID.search(answer) if answer is not None and self._turn % job.turns else None
        if found is not None:
            wanted["previous_response_id"] = found[1].decode()
        self._turn += 1
        return request_bytes(job, method, path, json.dumps(wanted))


def request_bytes(job: Job, method: str, path: str, body: str) -> bytes:
    data = body.encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {job.host}:{job.port}", "Authorization: Bearer bench"]
    if data:
        lines += ["Content-Type: application/json", f"Content-Length: {len(data)}"]
    return "\r\n".join([*lines, "", ""]).encode() + data


class Connection(asyncio.Protocol):
    """One connection: a request goes out when the answer before it has ended."""

    def __init__(self, source: Source, seen: Seen, end: re.Pattern[bytes]) -> None:
        self._source = source
        self._seen = seen
        self._end = end
        self.done = asyncio.get_running_loop().create_future()
        self._waiting = False
        self._begin()

    def _begin(self) -> None:
        """Nothing is heard yet of the answer that comes next."""
        self._received = bytearray()
        self._body = 0
        self._length: int | None = None
        self._told_event = self._told_delta = False
        self._sent = self.heard = time.perf_counter()

    def abort(self) -> None:
        self._transport.abort()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send(None)

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting:
            self._note(f"connection lost: {error}; {bytes(self._received[:200])!r}")
        if not self.done.done():
            self.done.set_result(self._waiting)

    def data_received(self, data: bytes) -> None:
        self._received += data
        self.heard = time.perf_counter()
        if not self._told_event and b"data:" in self._received:
            self._told_event = True
            self._seen.first_events.append(self.heard - self._sent)
        if self._told_event and not self._told_delta and DELTA.search(self._received):
            self._told_delta = True
            self._seen.first_deltas.append(self.heard - self._sent)
        if self._is_whole():
            self._take()

    def _is_whole(self) -> bool:
        """Whether the answer has ended: no JSON and no event has CR LF in it, so a last chunk is one."""
        received = self._received
        if self._body == 0:
            head = received.find(b"\r\n\r\n")
            if head < 0:
                return False
            self._body = head + 4
            length = _LENGTH.search(received, 0, head + 2)
            self._length = int(length[1]) if length else None
        if self._length is not None:
            return len(received) >= self._body + self._length
        return received.endswith(b"\r\n0\r\n\r\n")

    def _send(self, answer: bytes | None) -> None:
        request = self._source.next(answer)
        self._waiting = request is not None
        if request is None:
            self._transport.close()
            return
        self._begin()
        self._transport.write(request)

    def _take(self) -> None:
        seen, answer = self._seen, bytes(self._received)
        seen.latencies.append(self.heard - self._sent)
        seen.bytes += len(answer)
        if not answer.startswith(b"HTTP/1.1 200") or not self._is_good(answer):
            self._note(f"{answer[:300]!r} … {answer[-200:]!r}")
        elif found := _ID.search(answer):
            seen.ids.append(found[1].decode())
        self._send(answer)

    def _is_good(self, answer: bytes) -> bool:
        """The mark may be cut by the border of a chunk: then the chunks are put together first."""
        return bool(self._end.search(answer)) or bool(self._end.search(_unchunked(answer)))

    def _note(self, error: str) -> None:
        self._seen.errors += 1
        self._seen.first_error = self._seen.first_error or error


def _unchunked(answer: bytes) -> bytes:
    head, _, rest = answer.partition(b"\r\n\r\n")
    if not _CHUNKED.search(head):
        return rest
    return b"".join(rest.split(b"\r\n")[1::2])


async def _work(job: Job, source: Source, seen: Seen, end: re.Pattern[bytes]) -> None:
    """One connection at a time; a new one when the server hangs up between two answers."""
    loop = asyncio.get_running_loop()
    again = True
    while again:
        _, connection = await loop.create_connection(
            lambda: Connection(source, seen, end), job.host, job.port
        )
        again = await _until_done(connection)


async def _until_done(connection: Connection) -> bool:
    while True:
        done, _ = await asyncio.wait([connection.done], timeout=PATIENCE)
        if done:
            return bool(connection.done.result())
        if time.perf_counter() - connection.heard > PATIENCE:
            connection.abort()


async def run(job: Job) -> Seen:
    seen = Seen()
    end = re.compile(job.end.encode())
    source = Chain(job) if job.turns else Spread(job)
    started, cpu = time.perf_counter(), time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(1 if job.turns else min(job.concurrency, job.count)):
            group.create_task(_work(job, source, seen, end))
    seen.seconds, seen.cpu = time.perf_counter() - started, time.process_time() - cpu
    return seen


if __name__ == "__main__":
    json.dump(asdict(uvloop.run(run(Job(**json.load(sys.stdin))))), sys.stdout)
