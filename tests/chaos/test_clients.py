"""The clients, against a server that tells one right log to everybody, and tears every stream."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from openai import AsyncOpenAI
from tests.chaos import clients, sample
from tests.chaos.case import Frame, Told
from tests.chaos.plan import Plan
from tests.chaos.reading import whole
from tests.chaos.world import Refused, World


class Torn:
    """Tells each log a few events at a time."""

    def __init__(self) -> None:
        self.random = Random(5)
        self.logs: dict[str, list[Frame]] = {}
        self.app = web.Application()
        self.app.router.add_post("/v1/responses", self.create)
        self.app.router.add_get("/v1/responses/{id}", self.retrieve)
        self.app.router.add_post("/v1/responses/{id}/cancel", self.cancel)
        self.polls = 0
        self.busy = 0
        """How many requests are told to come again."""
        self.cancels = 0

    async def create(self, request: web.Request) -> web.StreamResponse:
        if self.busy:
            self.busy -= 1
            return web.json_response({"error": {}}, status=429, headers={"retry-after": "0"})
        body = await request.json()
        plan = Plan.read(body["input"])
        assert plan
        response_id = f"resp_{len(self.logs)}"
        log = self.logs[response_id] = sample.log(plan, response_id)
        if body.get("stream"):
            return await self.tell(request, log)
        return web.json_response(log[0].event["response"])

    async def retrieve(self, request: web.Request) -> web.StreamResponse:
        log = self.logs[request.match_info["id"]]
        if "stream" in request.query:
            return await self.tell(request, log[int(request.query.get("starting_after", -1)) + 1 :])
        self.polls += 1
        return web.json_response(log[-1 if self.polls % 3 == 0 else 0].event["response"])

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """The first answer is lost on its way."""
        self.cancels += 1
        if self.cancels == 1:
            assert request.transport
            request.transport.close()
        log = self.logs[request.match_info["id"]]
        return web.json_response(log[0].event["response"] | {"status": "cancelled"})

    async def tell(self, request: web.Request, log: list[Frame]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        data = b"".join(frame.data + b"\n\n" for frame in log)
        end = self.random.randrange(len(data) + 1, 2 * len(data)) if self.random.random() < 0.3 else 0
        await response.write(b": so far so good\n\n")
        await response.write(data[: end or self.random.randrange(len(data))])
        if not end:
            assert request.transport
            request.transport.close()
        return response


@pytest.fixture
async def torn() -> Torn:
    return Torn()


@pytest.fixture
async def world(torn: Torn) -> AsyncIterator[World]:
    server = SimpleNamespace(up=asyncio.Event(), launched=1.0, disturbed=0, disturbed_at=0.0, log=Path())
    server.up.set()
    async with TestServer(torn.app) as served:
        url = str(served.make_url("")).rstrip("/")
        async with (
            httpx2.AsyncClient(base_url=url) as http,
            AsyncOpenAI(base_url=f"{url}/v1", api_key="test", max_retries=0) as sdk,
        ):
            yield World(cast(Any, server), http, sdk, Random(1), "http://tool/mcp", 1)


@pytest.mark.parametrize("kind", ["streamed", "crowded"])
async def test_readers_get_every_event_once_over_torn_streams(world: World, torn: Torn, kind: str) -> None:
    for _ in range(5):
        await clients.KINDS[kind][0](world)

    assert len(world.cases) == 5
    for case in world.cases:
        log = torn.logs[case.id]
        assert [told.frames for told in case.readers] == [log[told.first :] for told in case.readers]
    assert world.seen.reconnects > 0


async def test_the_official_client_resumes_by_number(world: World, torn: Torn) -> None:
    for _ in range(5):
        await clients.parsed(world)

    for case in world.cases:
        assert case.parsed == [(frame.number, frame.kind) for frame in torn.logs[case.id]]


async def test_polling_ends_with_the_response(world: World) -> None:
    await clients.polled(world)

    (case,) = world.cases
    assert [b'"status": "queued"' in poll for poll in case.polls] == [True, True, True, False]


async def test_a_log_is_fetched_as_far_as_it_is_written(world: World, torn: Torn) -> None:
    await clients.polled(world)

    log = await whole(world, world.cases[0])

    assert log == torn.logs["resp_0"][: len(log)]
    assert Told(0, log).next == len(log)


async def test_a_busy_server_is_asked_again(world: World, torn: Torn) -> None:
    torn.busy = 4

    await clients.streamed(world)
    torn.busy = 2
    await clients.polled(world)

    assert (len(world.cases), world.seen.busy) == (2, 6)


async def test_a_busy_server_that_does_not_say_when_to_come_again_is_at_fault(world: World) -> None:
    request = httpx2.Request("POST", "http://server/v1/responses")

    with pytest.raises(Refused, match=r"POST /v1/responses .*: 429 "):
        await world.wait_busy(httpx2.Response(429, request=request))


async def test_a_cancellation_is_sent_until_it_is_answered_and_then_once_more(
    world: World, torn: Torn
) -> None:
    case = await clients.accepted(world, "cancelled")

    await clients.cancel(world, case)

    assert (torn.cancels, len(case.cancels)) == (3, 2)


async def test_a_conversation_goes_on_from_its_last_turn(world: World) -> None:
    await clients.chained(world)

    assert [case.turn for case in world.cases] == list(range(1, len(world.cases) + 1))
    assert len(world.cases) > 1
