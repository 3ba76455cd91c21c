"""Runs workloads and probes, and gathers what they cost."""

import json
import select
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection
from statistics import median
from typing import Any

from bench import server as servers
from bench.client import DELTA, Job, Seen, request_bytes
from bench.server import Memory, Server, load
from bench.workloads import Budget, Request, Workload, job

_WARM_UP = 0.2
"""The part of a workload that is run before anything is counted."""


@dataclass
class Cost:
    """What a server spent on a workload; one entry in each list for each round, or each answer."""

    cpu: list[float] = field(default_factory=list)
    """Processor seconds for 1,000 answers, in each round."""
    rates: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    first_events: list[float] = field(default_factory=list)
    first_deltas: list[float] = field(default_factory=list)
    errors: int = 0
    first_error: str = ""
    load_share: float = 0.0
    """Part of the time in which the load itself was busy, at most; near 1 it held the server up."""

    def add(self, cpu: float, seen: Seen) -> None:
        answers = len(seen.latencies) or 1
        self.cpu.append(cpu * 1000 / answers)
        self.rates.append(answers / seen.seconds)
        self.latencies += seen.latencies
        self.first_events += seen.first_events
        self.first_deltas += seen.first_deltas
        self.errors += seen.errors
        self.first_error = self.first_error or seen.first_error
        self.load_share = max(self.load_share, seen.cpu / seen.seconds)

    def summary(self) -> dict[str, Any]:
        """The figures that are shown and kept; times in milliseconds."""
        return {
            "cpu_per_1000": min(self.cpu),  # noise only adds: the quietest round is nearest to the truth
            "cpu_rounds": self.cpu,
            "per_second": median(self.rates),
            "p50_ms": percentile(self.latencies, 50),
            "p99_ms": percentile(self.latencies, 99),
            "first_event_ms": percentile(self.first_events, 50),
            "first_delta_ms": percentile(self.first_deltas, 50),
            "errors": self.errors,
            "first_error": self.first_error,
            "load_share": self.load_share,
        }


@dataclass
class Compared:
    """A workload on the server and, where they can do the same, on the floor and on a pure haproxy."""

    name: str
    server: dict[str, Any]
    floor: dict[str, Any] | None = None
    budget: Budget | None = None
    haproxy: dict[str, Any] | None = None

    @property
    def ratio(self) -> float | None:
        return self._to_floor(self.server)

    @property
    def limit(self) -> float | None:
        """The ratio of haproxy."""
        return self._to_floor(self.haproxy)

    def _to_floor(self, told: dict[str, Any] | None) -> float | None:
        floor = self.floor["cpu_per_1000"] if self.floor else 0
        return told["cpu_per_1000"] / floor if told and floor else None


@dataclass
class Surcharge:
    """What a workload costs on a server that does more, in terms of what it costs on one that does not."""

    name: str
    what: str
    """What that is, and what it is held against."""
    ratios: list[float]
    """Of each round."""
    most: float
    floors: list[float] = field(default_factory=list)
    """The same of floors, where they can do it too: so much of it is the machine's."""

    @property
    def ratio(self) -> float:
        return median(self.ratios)

    @property
    def floor(self) -> float | None:
        return median(self.floors) if self.floors else None


def percentile(values: Sequence[float], rank: int) -> float | None:
    """In milliseconds; None of nothing."""
    if not values:
        return None
    return sorted(values)[min(len(values) - 1, len(values) * rank // 100)] * 1000


# ---- workloads --------------------------------------------------------------------------------------


def compare(
    workload: Workload, floor: Server, server: Server, haproxy: Server | None = None, prefix: str = ""
) -> Compared:
    """Rounds of the floor and of the others in turn, so that whatever else goes on here meets all."""
    contenders = [
        (floor, workload.floor_job(floor), Cost()),
        (server, workload.job(server, prefix), Cost()),
    ]
    if haproxy is not None:
        contenders.append((haproxy, workload.floor_job(haproxy), Cost()))
    for _server, wanted, _cost in contenders:
        load(_part(wanted))
    for _ in range(workload.rounds):
        for contender, wanted, cost in contenders:
            _count(contender, wanted, cost)
    below, above, *limit = (cost.summary() for _, _, cost in contenders)
    return Compared(workload.name, above, below, workload.budget, *limit)


def surcharge(
    workload: Workload, what: str, most: float, less: Server, more: Server, floors: Sequence[Server] = ()
) -> Surcharge:
    """Rounds of both in turn. A round of one is held against the next of the other, so that whatever else
    goes on here meets both. `floors`: two that differ in the same."""
    contenders = [(server, workload.job(server), Cost()) for server in (less, more)]
    contenders += [(floor, workload.floor_job(floor), Cost()) for floor in floors]
    for _server, wanted, _cost in contenders:
        load(_part(wanted))
    for _ in range(workload.rounds):
        for contender, wanted, cost in contenders:
            _count(contender, wanted, cost)
    below, above, *others = (cost.cpu for _, _, cost in contenders)
    return Surcharge(workload.name, what, _ratios(below, above), most, _ratios(*others) if others else [])


def _ratios(below: Sequence[float], above: Sequence[float]) -> list[float]:
    return [b / a for a, b in zip(below, above, strict=True)]


def _part(wanted: Job) -> Job:
    count = max(wanted.concurrency, int(wanted.count * _WARM_UP))
    return Job(**{**wanted.__dict__, "count": min(count, wanted.count)})


def _count(server: Server, wanted: Job, cost: Cost) -> Seen:
    before = server.cpu()
    seen = load(wanted)
    cost.add(server.cpu() - before, seen)
    return seen


# ---- reading what is stored -------------------------------------------------------------------------

_READS = 1000


def reads(server: Server, prefix: str = "") -> list[Compared]:
    """GETs of responses, their input items, and a page of a long conversation."""
    stored = load(Workload("", count=100).job(server, prefix)).ids
    conversation = _conversation(server)
    return [
        _read(server, "GET response", [f"/v1/responses/{id}" for id in stored]),
        _read(server, "GET input items", [f"/v1/responses/{id}/input_items" for id in stored]),
        _read(server, "GET 20 of 100 items", [f"/v1/conversations/{conversation}/items"]),
    ]


def _conversation(server: Server) -> str:
    """A conversation of a hundred messages; each request may bring twenty."""
    items = [{"type": "message", "role": "user", "content": f"Message {n} of many."} for n in range(20)]
    body = json.dumps({"items": items})
    made = load(job(server, [("POST", "/v1/conversations", body)], 1, 1, "conv_")).ids[0]
    load(job(server, [("POST", f"/v1/conversations/{made}/items", body)], 4, 1, "msg_"))
    return made


def _read(server: Server, name: str, paths: Iterable[str]) -> Compared:
    requests: list[Request] = [("GET", path, "") for path in paths]
    wanted, cost = job(server, requests, _READS, 16, '"object"'), Cost()
    load(_part(wanted))
    for _ in range(3):
        _count(server, wanted, cost)
    return Compared(name, cost.summary())


# ---- chains -----------------------------------------------------------------------------------------


def chain(server: Server, turns: int, chains: int, prefix: str = "") -> list[float]:
    """The median time of each turn, in milliseconds: what a history costs that grows."""
    wanted = Workload("", concurrency=1).job(server, prefix)
    wanted.turns, wanted.count = turns, 2
    load(wanted)
    wanted.count = chains
    seen = load(wanted)
    if seen.errors:
        raise SystemExit(f"bench: a chain broke: {seen.first_error}")
    return [median(seen.latencies[turn::turns]) * 1000 for turn in range(turns)]


_TURNS = 20
"""Of which the median is taken: one alone is too short to be measured."""


def grown(server: Server, kind: str, turns: int, prefix: str = "") -> float:
    """How many times the processor time of its first turns the last ones take, of a `chain` or of a
    `conversation` of so many; or of the `floor`, which is sent what Antiphon sends its upstream."""
    workload = Workload("")
    wanted = workload.floor_job(server) if kind == "floor" else workload.job(server, prefix)
    method, path, text = wanted.requests[0]
    asked = json.loads(text)
    with closing(HTTPConnection(server.host, server.port, timeout=servers.PATIENCE)) as connection:

        def post(path: str, body: object) -> Any:
            connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            told = answer.read()
            if answer.status != HTTPStatus.OK:
                raise SystemExit(f"bench: a {kind} broke: {told[:300]!r}")
            return json.loads(told)

        if kind == "conversation":
            asked["conversation"] = post("/v1/conversations", {})["id"]
        spent = []
        for _ in range(turns):
            before = server.cpu()
            made = post(path, asked)
            spent.append(server.cpu() - before)
            if kind == "chain":
                asked["previous_response_id"] = made["id"]
            elif kind == "floor":
                asked["messages"] += [made["choices"][0]["message"], asked["messages"][0]]
    return median(spent[-_TURNS:]) / median(spent[:_TURNS])


def after_turns(server: Server, turns: int, prefix: str = "") -> Compared:
    """What a response costs that continues so many turns."""
    begun = Workload("", concurrency=1).job(server, prefix)
    begun.turns, begun.count = turns, 1
    method, path, body = begun.requests[0]
    last = load(begun).ids[-1]
    request = (method, path, json.dumps({**json.loads(body), "previous_response_id": last}))
    cost, wanted = Cost(), job(server, [request], 200, 16, begun.end)
    load(_part(wanted))
    for _ in range(3):
        _count(server, wanted, cost)
    return Compared(f"plain, after {turns} turns", cost.summary())


# ---- a server's beginning, and its size --------------------------------------------------------------

IDLE = 1000
_MEMORY_STREAMS = 64


def start_up(url: str, times: int) -> tuple[float, float]:
    """Seconds from the command to the first answer, and the processor's part of it."""
    waited, spent = [], []
    for _ in range(times):
        begun = time.perf_counter()
        with servers.antiphon(url) as server:
            waited.append(time.perf_counter() - begun)
            spent.append(server.cpu())
    return median(waited), median(spent)


Start = Callable[[], AbstractContextManager[Server]]
Ask = Callable[[Server, Workload], Job]
"""The job of a workload, in the words that the server understands."""


def memory(start: Start, request: Ask) -> dict[str, Memory]:
    """A new server's size at rest, at its peak under 64 streams at once, and after that."""
    sizes = {}
    with start() as server:
        load(request(server, Workload("", count=1, concurrency=1)))
        server.reset_peak()
        sizes["at rest"] = server.memory()
        load(request(server, Workload("", stream=True, count=1000, concurrency=_MEMORY_STREAMS)))
        sizes["64 streams"] = server.memory()
    return sizes


def idle_streams(start: Start, request: Ask) -> float:
    """Kilobytes for each of 1,000 streams whose model has begun to speak, and is silent."""
    with start() as server, ExitStack() as connections:
        load(request(server, Workload("", stream=True, count=100)))
        wanted = request(server, Workload("", "paced-2-600000", stream=True, count=1))
        before = server.memory().shared_out
        for _ in range(IDLE):
            connection = connections.enter_context(
                socket.create_connection((server.host, server.port), timeout=servers.PATIENCE)
            )
            connection.sendall(request_bytes(wanted, *wanted.requests[0]))
            _read_to_a_delta(connection)
        return (server.memory().shared_out - before) * 1024 / IDLE


def _read_to_a_delta(connection: socket.socket) -> None:
    received = b""
    while not DELTA.search(received):
        data = connection.recv(1 << 16)
        if not data:
            raise SystemExit(f"bench: a stream broke off: {received[-200:]!r}")
        received += data


# ---- a client that reads nothing ---------------------------------------------------------------------

_MANY = 200_000
"""Deltas of an answer of some fifty megabytes."""
_UNREAD = 3.0
"""Seconds for which nothing of it is read."""


def slow_reader(start: Start, request: Ask) -> float:
    """Megabytes by which a server grows for a client that asks for a long stream and does not read it."""
    with start() as server:
        load(request(server, Workload("", stream=True, count=100)))
        wanted = request(server, Workload("", f"burst-{_MANY}", stream=True, count=1))
        before = server.memory().resident
        server.reset_peak()
        with socket.create_connection((server.host, server.port)) as connection:
            connection.sendall(request_bytes(wanted, *wanted.requests[0]))
            select.select([connection], [], [], servers.PATIENCE)
            time.sleep(_UNREAD)
            grown = server.memory().peak - before
            _read_to_the_end(connection)
    return grown


def _read_to_the_end(connection: socket.socket) -> None:
    """All of it comes in the end, or the benchmark is void."""
    connection.settimeout(servers.PATIENCE)
    received, last = 0, b""
    while not last.endswith(b"\r\n0\r\n\r\n"):
        data = connection.recv(1 << 20)
        if not data:
            raise SystemExit(f"bench: a stream that was read late broke off after {received} bytes")
        received += len(data)
        last = last[-16:] + data[-16:]
