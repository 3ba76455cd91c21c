"""What clients share: the server's address, chance, and where they write down what they saw."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

import httpx2
import openai
from openai import AsyncOpenAI
from tests.chaos.case import Case, Json, Told
from tests.chaos.plan import Plan
from tests.chaos.server import Server

_PAUSE = 0.05
"""Seconds between two attempts to reach a server that does not answer."""
_BUSY = (429, 503)


class Refused(Exception):
    """The server answered, and not with what it owes."""

    def __init__(self, what: str, status: int, body: bytes) -> None:
        super().__init__(f"{what}: {status} {body[:500].decode(errors='replace')}")


@dataclass
class Seen:
    """What is counted while the chaos goes on."""

    kills: Counter[str] = field(default_factory=Counter)
    stops: list[float] = field(default_factory=list)
    """Seconds that graceful stops took."""
    reconnects: int = 0
    lost: int = 0
    """Requests for new responses that died unacknowledged."""
    busy: int = 0
    """Requests that were told to come again."""
    early: int = 0
    """Streams that ended in order, but before their response."""
    restarts: list[float] = field(default_factory=list)
    """Seconds from the start of a new server to the first event of a response that it went on with."""
    takeovers: list[float] = field(default_factory=list)
    """Seconds from the last kill until another worker went on with a response."""


@dataclass
class World:
    server: Server
    http: httpx2.AsyncClient
    sdk: AsyncOpenAI
    random: Random
    tool_url: str
    seed: int
    cases: list[Case] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)
    closing: bool = False
    """Whether nothing new is to be begun."""
    faults: list[str] = field(default_factory=list)
    """What is wrong with no response in particular."""

    def __post_init__(self) -> None:
        self._seeds = count(self.seed * 1_000_000)

    def plan(self) -> Plan:
        """A new one for every request: an unanswered one may have been accepted, and run its calls."""
        return Plan.drawn(self.random, next(self._seeds))

    def body(self, plan: Plan, **more: Any) -> Json:
        tool = {"type": "mcp", "server_label": "chaos", "server_url": self.tool_url}
        tools = [tool | {"require_approval": "never"}]
        return {"model": "chaos", "input": plan.prompt(), "tools": tools, **more}

    async def pause(self) -> None:
        """Until it makes sense to try again."""
        await asyncio.sleep(_PAUSE)
        await self.server.up.wait()

    async def persist(self, ask: Callable[..., Awaitable[Any]], *which: Any, **how: Any) -> Any:
        """The answer to what may be asked twice: it is asked until it is answered."""
        while True:
            try:
                return await ask(*which, **how)
            except openai.APIConnectionError:
                self.seen.reconnects += 1
                await self.pause()
            except openai.APIStatusError as error:
                await self.wait_busy(error.response)

    async def wait_busy(self, answer: httpx2.Response) -> None:
        """As long as a busy server says. Raises Refused when it is not busy."""
        after = answer.headers.get("retry-after")
        if answer.status_code not in _BUSY or after is None:
            what = f"{answer.request.method} {answer.request.url.path} (retry-after: {after})"
            raise Refused(what, answer.status_code, await answer.aread())
        self.seen.busy += 1
        await asyncio.sleep(float(after))

    def in_progress(self, case: Case, told: Told) -> None:
        """A reader was told that its response is in progress: not for the first time when somebody took
        over."""
        number = told.frames[-1].number
        again = number > 2
        if number <= case.progress:
            return
        case.progress = number
        if case.launch < self.server.launched:
            if again:
                self.seen.restarts.append(time.monotonic() - self.server.launched)
            case.launch = self.server.launched
        elif again:
            self.seen.takeovers.append(time.monotonic() - self.server.disturbed_at)
