"""The whole: a server, its upstream and its tool, clients, and someone who kills the server meanwhile."""

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Literal

import httpx2
import openai
from openai import AsyncOpenAI
from tests.chaos import recorder, report, upstream
from tests.chaos.case import Case, NotAFrame
from tests.chaos.clients import KINDS
from tests.chaos.database import database
from tests.chaos.reading import whole
from tests.chaos.server import Server, ServerError
from tests.chaos.verdict import judge
from tests.chaos.world import Refused, World

_SILENCE = 25.0
"""Seconds without a byte after which a client takes a connection for dead."""
_WAYS = ("worker", "worker", "worker", "whole", "whole", "graceful")
"""How the server is killed: each of these once, in any order, then again."""
_DATABASE_WAYS = ("freeze", "database", "cut")
"""What is done besides where servers share a database."""


@dataclass(frozen=True, kw_only=True)
class Chaos:
    home: Path
    seconds: float
    seed: int
    workers: int
    clients: int
    every: float
    settle: float
    keep_alive: float
    kinds: tuple[str, ...] = tuple(KINDS)
    store: Literal["sqlite", "postgres"] = "sqlite"

    async def run(self) -> bool:
        """Whether everything was right in the end; the report is printed."""
        with ExitStack() as stack:
            tool = stack.enter_context(recorder.running())
            shared = stack.enter_context(database()) if self.store == "postgres" else None
            said = stack.enter_context(upstream.running())
            server = Server(self.home, said, self.workers, self.keep_alive, shared)
            stack.callback(server.stop_for_good)
            await server.start()
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=50)
            http = httpx2.AsyncClient(base_url=server.url, timeout=_SILENCE, limits=limits)
            sdk = AsyncOpenAI(base_url=f"{server.url}/v1", api_key="chaos", max_retries=0, timeout=_SILENCE)
            async with http, sdk:
                world = World(server, http, sdk, Random(self.seed), tool.url, self.seed)
                await self._live(world)
                await _fetch_all(world)
            if shared is not None:
                world.faults += shared.left()
            return self._judge(world, tool.recorded)

    async def _live(self, world: World) -> None:
        clients = [asyncio.create_task(self._client(world)) for _ in range(self.clients)]
        await self._kills(world)
        world.closing = True
        _, unsettled = await asyncio.wait(clients, timeout=self.settle)
        for client in unsettled:
            client.cancel()
        if unsettled:
            world.faults.append(f"{len(unsettled)} clients still waited after {self.settle:g} s")
        ended = await asyncio.gather(*clients, return_exceptions=True)
        world.faults += [f"a client ended with {error!r}" for error in ended if isinstance(error, Exception)]

    async def _client(self, world: World) -> None:
        """Someone who does one thing after another."""
        weights = [KINDS[kind][1] for kind in self.kinds]
        while not world.closing:
            kind = world.random.choices(self.kinds, weights)[0]
            try:
                await KINDS[kind][0](world)
            except (Refused, NotAFrame, openai.APIError) as error:
                world.faults.append(f"{kind}: {error}")
                await world.pause()

    async def _kills(self, world: World) -> None:
        end = time.monotonic() + self.seconds
        # Chance of its own: what the clients draw must not shift the kills.
        random = Random(f"{self.seed} kills")
        ways = _drawn(random, _WAYS if self.store == "sqlite" else _WAYS + _DATABASE_WAYS)
        while (wait := random.uniform(0.4, 1.6) * self.every) < end - time.monotonic():
            await asyncio.sleep(wait)
            await _kill(world, next(ways), random)
        await asyncio.sleep(max(0, end - time.monotonic()))

    def _judge(self, world: World, recorded: Mapping[str, int]) -> bool:
        faults = [(case, fault) for case in world.cases for fault in judge(case, recorded)]
        report.dump(faults, self.home)
        print("\n".join(report.lines(world, recorded, faults, self.home)))
        return not faults and not world.faults


# ---- the killer -------------------------------------------------------------------------------------


def _drawn(random: Random, ways: Sequence[str]) -> Iterator[str]:
    while True:
        yield from random.sample(ways, len(ways))


async def _kill(world: World, way: str, random: Random) -> None:
    if way == "worker" and not await world.server.kill_worker(random):
        way = "whole"  # there is but one process
    try:
        if way == "whole":
            await world.server.kill_whole()
        elif way == "graceful":
            world.seen.stops.append(await world.server.stop_gracefully())
        elif way == "freeze":
            await world.server.freeze_worker(random)
        elif way == "database":
            await world.server.restart_database()
        elif way == "cut":
            await world.server.cut_database()
    except ServerError as error:
        world.faults.append(str(error))
    world.seen.kills[way] += 1


# ---- what is there in the end -----------------------------------------------------------------------


async def _fetch_all(world: World) -> None:
    """Everything that can be asked of every response, now that nobody disturbs."""
    gate = asyncio.Semaphore(8)

    async def fetch(case: Case) -> None:
        async with gate:
            try:
                await _fetch(world, case)
            except (Refused, httpx2.TransportError) as error:
                world.faults.append(f"{case.id}: {error!r}")

    await asyncio.gather(*map(fetch, world.cases))


async def _fetch(world: World, case: Case) -> None:
    path = f"/v1/responses/{case.id}"
    first = await world.http.get(path)
    if first.status_code == 404:
        return
    case.final = (await _right(first)).content
    case.again = (await _right(await world.http.get(path))).content
    if case.streamed:
        case.log = await whole(world, case)
    listed = await _right(await world.http.get(f"{path}/input_items", params={"limit": "100"}))
    case.input_items = listed.json()["data"]


async def _right(answer: httpx2.Response) -> httpx2.Response:
    if answer.status_code != 200:
        raise Refused(f"GET {answer.request.url}", answer.status_code, answer.content)
    return answer
