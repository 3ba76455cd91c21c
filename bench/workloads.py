"""What is measured, as data: a row for each workload, some with a budget (architecture.md section 10)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from bench.client import Job
from bench.server import Server

Request = tuple[str, str, str]


class Budget(NamedTuple):
    """How many times the floor's cost may be spent: what must hold, and what is aimed for."""

    must: float
    aim: float


PLAIN, UNSTORED = Budget(2.5, 1.6), Budget(1.8, 1.4)
BURST, CALLS, PACED = Budget(1.8, 1.2), Budget(2.2, 1.6), Budget(1.4, 1.2)


@dataclass(frozen=True)
class Workload:
    """Responses of one kind, at one concurrency."""

    name: str
    model: str = "burst-200"
    stream: bool = False
    store: bool = True
    background: bool = False
    """Followed from its first event on, as the client would a stream."""
    count: int = 400
    concurrency: int = 16
    rounds: int = 7
    """Many short ones rather than a few long ones: on a machine with other things to do, some are quiet."""
    budget: Budget | None = None
    quick: bool = False

    def floor_job(self, server: Server) -> Job:
        """The same for the floor, which speaks the upstream's language."""
        body: dict[str, Any] = {"model": self.model, "messages": [{"role": "user", "content": _QUESTION}]}
        if self.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if self.calls:
            body["tools"] = [{"type": "function", "function": _NOTE}]
        end = r"data: \[DONE\]" if self.stream else '"finish_reason"'
        return self._job(server, ("POST", "/v1/chat/completions", json.dumps(body)), end)

    def job(self, server: Server, prefix: str = "") -> Job:
        body: dict[str, Any] = {"model": prefix + self.model, "input": _QUESTION, "store": self.store}
        if self.stream:
            body["stream"] = True
        if self.background:
            body["background"] = True
        if self.calls:
            body["tools"] = [{"type": "function", **_NOTE}]
        return self._job(server, ("POST", "/v1/responses", json.dumps(body)), self._end)

    @property
    def calls(self) -> bool:
        return self.model.startswith("call")

    @property
    def _end(self) -> str:
        return r'"type":\s*"response\.completed"' if self.stream else r'"status":\s*"completed"'

    def _job(self, server: Server, request: Request, end: str) -> Job:
        return job(server, [request], self.count, self.concurrency, end)


_QUESTION = "Tell me, in about two hundred words, why the sea is salt and the rain is not."
_NOTE = {
    "name": "note",
    "description": "Keep a note.",
    "parameters": {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    },
}

WORKLOADS = (
    Workload("plain, stored", budget=PLAIN, quick=True),
    Workload("plain, not stored", store=False, budget=UNSTORED),
    Workload("burst streams, stored", stream=True, budget=BURST, quick=True),
    Workload("burst streams, not stored", stream=True, store=False, budget=BURST),
    Workload(
        "paced streams, 64 at once",
        "paced-200",
        stream=True,
        count=64,
        concurrency=64,
        rounds=5,
        budget=PACED,
        quick=True,
    ),
    Workload("paced streams, 16 at once", "paced-200", stream=True, count=16, rounds=5, budget=PACED),
    Workload(
        "paced streams, not stored", "paced-200", stream=True, store=False, count=16, rounds=5, budget=PACED
    ),
    Workload("20 ms streams, 512 at once", "paced-200-20", stream=True, count=512, concurrency=512, rounds=2),
    Workload("background streams", stream=True, background=True, count=200, rounds=4),
    Workload("call streams", "call-200", stream=True, budget=CALLS),
    Workload("call streams, not stored", "call-200", stream=True, store=False, budget=CALLS),
    Workload("plain calls", "call-200", budget=PLAIN),
    *(Workload(f"plain, {n} at once", count=max(200, n), concurrency=n, rounds=5) for n in (1, 64, 512)),
    *(
        Workload(f"burst streams, {n} at once", stream=True, count=max(200, n), concurrency=n, rounds=5)
        for n in (1, 64, 512)
    ),
)

RECORDED = (
    (Workload("plain, stored", rounds=15, quick=True), 1.08),
    (
        Workload("paced streams", "paced-200", stream=True, count=64, concurrency=64, rounds=9, quick=True),
        1.05,
    ),
)
"""How many times its cost each may have where all is recorded that is sent upstream."""
DEALT = (
    *(
        (replace(workload, budget=None, quick=workload.name == "plain, stored"), 1.05)
        for workload in WORKLOADS
        if workload.name
        in ("plain, stored", "plain, not stored", "burst streams, stored", "paced streams, 64 at once")
    ),
    (Workload("plain, stored, 128 at once", count=1600, concurrency=128), 1.05),
)
"""How many times its cost each may have where two workers share the requests."""


def job(server: Server, requests: Sequence[Request], count: int, concurrency: int, end: str) -> Job:
    return Job(server.host, server.port, list(requests), count, concurrency, end)
