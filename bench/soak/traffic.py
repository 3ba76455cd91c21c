"""What clients do to a server in a soak. Each kind is a coroutine that does one whole thing and looks whether
it came out right; what it leaves behind on the server, if anything, is what such clients leave behind.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
from openai import AsyncOpenAI, BadRequestError, NotFoundError
from websockets.asyncio.client import connect

from bench.soak.model import CODE, SCHEMA, TEXT, WEATHER

PATIENCE = 60.0
"""Seconds that anything may take."""


@dataclass(frozen=True)
class World:
    """The server under load, and how it is reached."""

    url: str
    client: AsyncOpenAI
    http: httpx2.AsyncClient
    vector_store: str

    @property
    def place(self) -> tuple[str, int]:
        url = httpx2.URL(self.url)
        return url.host, url.port or 80


Kind = Callable[[World], Awaitable[None]]


def said(response: Any, status: str = "completed") -> None:
    assert response.status == status, response
    assert response.output_text == (TEXT if status == "completed" else ""), response.output_text


# ---- answers -----------------------------------------------------------------------------------------


async def plain(world: World) -> None:
    said(made := await world.client.responses.create(model="m", input="Hi"))
    said(await world.client.responses.retrieve(made.id))
    assert len((await world.client.responses.input_items.list(made.id)).data) == 1
    if random.random() < 0.5:
        await world.client.responses.delete(made.id)


async def stateless(world: World) -> None:
    include: Any = ["reasoning.encrypted_content"]
    first = await world.client.responses.create(model="m", input="Hi", store=False, include=include)
    history: Any = [*first.output, {"role": "user", "content": "And?"}]
    said(await world.client.responses.create(model="m", input=history, store=False))


async def streamed(world: World) -> None:
    async with world.client.responses.stream(model="m", input="Hi") as stream:
        said(await stream.get_final_response())


async def chained(world: World) -> None:
    last = None
    for _ in range(4):
        made = await world.client.responses.create(model="m", input="Go on.", previous_response_id=last)
        last = made.id
        said(made)


async def in_a_conversation(world: World) -> None:
    conversation = await world.client.conversations.create()
    for _ in range(3):
        said(await world.client.responses.create(model="m", input="Hi", conversation=conversation.id))
    items = [item async for item in world.client.conversations.items.list(conversation.id, limit=5)]
    assert len(items) == 9, items
    await world.client.conversations.delete(conversation.id)


async def with_a_schema(world: World) -> None:
    text: Any = {"format": {"type": "json_schema", "name": "rivers", "schema": SCHEMA, "strict": True}}
    made = await world.client.responses.create(model="schema", input="Which?", text=text)
    assert json.loads(made.output_text) == {"river": "Loire"}


async def over_websocket(world: World) -> None:
    async with connect(world.url.replace("http", "ws") + "/v1/responses") as socket:
        last = None
        for _ in range(3):
            event = {"type": "response.create", "model": "m", "input": "Hi", "previous_response_id": last}
            await socket.send(json.dumps({**event, "store": False}))
            last = (await _ended(socket))["id"]


async def _ended(socket: Any) -> Any:
    while True:
        event = json.loads(await socket.recv())
        assert event["type"] not in ("error", "response.failed"), event
        if event["type"] == "response.completed":
            return event["response"]


async def in_the_background(world: World) -> None:
    stream = await world.client.responses.create(model="m", input="Hi", background=True, stream=True)
    async for event in stream:
        if event.type == "response.created":
            made = event.response
    said(await world.client.responses.retrieve(made.id))


async def polled(world: World) -> None:
    made = await world.client.responses.create(model="m", input="Hi", background=True)
    while made.status in ("queued", "in_progress"):
        await asyncio.sleep(0.05)
        made = await world.client.responses.retrieve(made.id)
    said(made)


# ---- tools -------------------------------------------------------------------------------------------


async def with_a_function(world: World) -> None:
    weather: Any = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
    asked = await world.client.responses.create(model="calls", input="Bonn?", tools=[weather])
    call: Any = asked.output[-1]
    assert json.loads(call.arguments) == WEATHER, call
    output: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "Rain."}]
    said(
        await world.client.responses.create(
            model="calls", input=output, tools=[weather], previous_response_id=asked.id
        )
    )


async def searching_files(world: World) -> None:
    tool: Any = {"type": "file_search", "vector_store_ids": [world.vector_store]}
    made = await world.client.responses.create(model="calls", input="How long?", tools=[tool])
    assert [call.status for call in made.output if call.type == "file_search_call"] == ["completed"], made
    said(made)


async def running_code(world: World) -> None:
    container = await world.client.containers.create(name="soak")
    tool: Any = {"type": "code_interpreter", "container": container.id}
    include: Any = ["code_interpreter_call.outputs"]
    made = await world.client.responses.create(model="calls", input="6 * 7?", tools=[tool], include=include)
    (call,) = (item for item in made.output if item.type == "code_interpreter_call")
    assert call.code == CODE
    assert [output.logs for output in call.outputs or () if output.type == "logs"] == ["42\n"], call
    await world.client.containers.delete(container.id)


async def with_files(world: World) -> None:
    file = await world.client.files.create(file=("a.txt", b"On rivers. " * 500), purpose="user_data")
    content: Any = [{"type": "input_file", "file_id": file.id}, {"type": "input_text", "text": "What?"}]
    said(await world.client.responses.create(model="m", input=[{"role": "user", "content": content}]))
    assert len((await world.client.files.content(file.id)).content) == 5500
    await world.client.files.delete(file.id)


# ---- clients that misbehave --------------------------------------------------------------------------


async def cancelled(world: World) -> None:
    made = await world.client.responses.create(model="slow", input="Hi", background=True)
    assert (await world.client.responses.cancel(made.id)).status == "cancelled"


async def cut(world: World) -> None:
    """The client reads the beginning of a stream, and is gone."""
    stream = await world.client.responses.create(model="slow", input="Hi", stream=True)
    async for event in stream:
        if event.type == "response.output_text.delta":
            break
    await stream.close()


async def reset(world: World) -> None:
    """The connection breaks before anything was read."""
    _, writer = await asyncio.open_connection(*world.place)
    body = json.dumps({"model": "slow", "input": "Hi", "stream": random.random() < 0.5}).encode()
    head = "POST /v1/responses HTTP/1.1\r\nHost: soak\r\nContent-Type: application/json\r\n"
    writer.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    await asyncio.sleep(random.random() / 10)
    writer.transport.abort()


async def websocket_cut(world: World) -> None:
    async with connect(world.url.replace("http", "ws") + "/v1/responses") as socket:
        await socket.send(json.dumps({"type": "response.create", "model": "slow", "input": "Hi"}))
        await socket.recv()
        socket.transport.abort()


async def wrong(world: World) -> None:
    for members in ({"temperature": 9}, {"input": [{"type": "no"}]}, {"tools": [{"type": "no"}]}):
        try:
            await world.client.responses.create(**{"model": "m", "input": "Hi", **members})  # type: ignore[call-overload]
        except BadRequestError:
            continue
        raise AssertionError(f"{members} was let through")
    try:
        await world.client.responses.retrieve("resp_0")
    except NotFoundError:
        return
    raise AssertionError("a response that is not there was found")


# ---- people ------------------------------------------------------------------------------------------

PAGES = ("responses", "conversations", "usage", "queue", "files", "webhooks", "keys", "playground")


async def looking_at_pages(world: World) -> None:
    for page in PAGES:
        shown = await world.http.get(f"/dashboard/{page}")
        assert shown.status_code == 200, (page, shown.status_code, shown.text[:200])
    (await world.http.get("/metrics")).raise_for_status()


async def watching(world: World) -> None:
    """The dashboard's list stays open for a while, as in a browser."""
    async with world.http.stream("GET", "/dashboard/responses/live") as live:
        assert live.status_code == 200, live.status_code
        async with asyncio.timeout(5):
            async for _ in live.aiter_bytes():
                return


KINDS: dict[Kind, int] = {
    plain: 8,
    stateless: 6,
    streamed: 12,
    chained: 4,
    in_a_conversation: 3,
    with_a_schema: 4,
    over_websocket: 5,
    in_the_background: 5,
    polled: 3,
    with_a_function: 6,
    searching_files: 2,
    running_code: 1,
    with_files: 3,
    cancelled: 3,
    cut: 4,
    reset: 4,
    websocket_cut: 3,
    wrong: 3,
    looking_at_pages: 1,
    watching: 1,
}
"""Every kind, and how often it comes beside the others."""
