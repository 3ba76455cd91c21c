"""Sections: damaged bodies of every endpoint, damaged addresses and queries, damaged frames."""

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from tests.attack.corpus import Bodies, bodies
from tests.attack.damage import damaged
from tests.attack.world import HANG, KEYS, Effort, World

AT_ONCE = 8
_GOOD = 60
"""Good bodies of each shape, from which the others are made."""


async def damaged_bodies(world: World, effort: Effort) -> None:
    """Bodies that were good until something happened to them."""
    good, ids = bodies(_GOOD, world.seed), await world.ids()
    parts = [body for found in good.values() for body in found]

    async def one() -> None:
        path = world.random.choice(list(good))
        body = damaged(world.random, world.random.choice(good[path]), parts)
        await world.ask("POST", path.format(**ids), body)

    await _many(world, "bodies", effort.most, one)


async def damaged_addresses(world: World, effort: Effort) -> None:
    """Paths, methods and queries that nobody should send."""
    ids = await world.ids()

    async def one() -> None:
        await world.ask(world.random.choice(_METHODS), _address(world, ids))

    await _many(world, "addresses", effort.most // 2, one)


_METHODS = ("GET", "GET", "GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "HEAD")
_PATHS = (
    *("/v1/responses/{response}", "/v1/responses/{response}/input_items", "/v1/responses/{response}/cancel"),
    *("/v1/conversations/{conversation}", "/v1/conversations/{conversation}/items", "/v1/models"),
    *("/v1/conversations/{conversation}/items/{item}", "/v1/prompts", "/v1/prompts/{prompt}", "/v1/files"),
    *("/v1/prompts/{prompt}/versions", "/v1/files/{file}", "/v1/files/{file}/content", "/v1/models/{item}"),
    *("/v1/uploads/{upload}", "/v1/uploads/{upload}/parts", "/v1/uploads/{upload}/cancel", "/v1/{item}", "/"),
)
_NAMES = (
    "limit",
    "order",
    "after",
    "before",
    "include",
    "include[]",
    "stream",
    "starting_after",
    "version",
    "x",
)
_VALUES = (
    *("", "0", "-1", "1", "20", "100", "101", "99999999999999999999", "1e3", "nan", "asc", "desc", "true"),
    *("false", "null", "[]", "a" * 2000, "\0", "é", "reasoning.encrypted_content", "' OR 1=1", "%", "{}"),
)


def _address(world: World, ids: dict[str, str]) -> str:
    random = world.random
    known = {kind: _identifier(world, value) for kind, value in ids.items()}
    query = [(random.choice(_NAMES), random.choice(_VALUES)) for _ in range(random.choice((0, 1, 1, 2, 5)))]
    return f"{random.choice(_PATHS).format(**known)}?{urlencode(query)}"


def _identifier(world: World, good: str) -> str:
    """An id, mostly damaged, as it stands in a path."""
    match world.random.randrange(6):
        case 0 | 1:
            return good
        case 2:
            return quote(good[:-1] + world.random.choice(("", "x", "\0", "%", "/", "é", "'")), safe="")
        case 3:
            return quote(world.random.choice(("..", ".", "", " ", "null", "0", "-1")), safe="") or "x"
        case 4:
            return "a" * world.random.choice((1, 300, 5000))
    return quote(world.random.randbytes(8), safe="")


async def damaged_frames(world: World, effort: Effort) -> None:
    """What a WebSocket is sent. It stays open, and each frame is answered."""
    good = bodies(_GOOD, world.seed)
    for _ in range(4):
        await _talk(world, good, effort.most // 8)


async def _talk(world: World, good: Bodies, frames: int) -> None:
    headers = {"Authorization": f"Bearer {KEYS['mallory']}"}
    async with world.http.ws_connect(f"{world.server.url}/v1/responses", headers=headers) as socket:
        for _ in range(frames):
            frame = _frame(world, good)
            world.record.tried["frames"] += 1
            if world.random.random() < 0.1:
                await socket.send_bytes(frame)
            else:
                await socket.send_str(frame.decode(errors="replace"))
            if not await _answered(world, socket, frame):
                return


def _frame(world: World, good: Bodies) -> bytes:
    body = world.random.choice(good["/v1/responses"])
    more = world.random.choice(({}, {}, {"generate": False}, {"stream_id": "s"}))
    frame = {**body, "type": "response.create", **more}
    return damaged(world.random, frame, good["/v1/responses"])


async def _answered(world: World, socket: aiohttp.ClientWebSocketResponse, frame: bytes) -> bool:
    try:
        async with asyncio.timeout(HANG):
            async for message in socket:
                said = msgspec.json.decode(message.data)
                if said["type"] == "error":
                    if "status" not in said:
                        continue  # the event before response.failed
                    world.record.statuses[said["status"]] += 1
                    if said["status"] >= 500:
                        world.faulty(said["status"], said["error"], f"frame {frame[:300]!r}")
                    return True
                if said["type"] in ("response.completed", "response.failed", "response.incomplete"):
                    world.record.statuses[200] += 1
                    if said["type"] == "response.failed":
                        world.faulty(200, said["response"]["error"], f"frame {frame[:300]!r}")
                    return True
                if said["type"] == "response.steer.failed":
                    return True
    except TimeoutError:
        world.record.hangs += 1
        world.broken(f"a frame is not answered: {frame[:300]!r}")
        return False
    world.broken(f"a frame ends its connection: {frame[:300]!r}")
    return False


async def _many(world: World, name: str, most: int, one: Callable[[], Awaitable[None]]) -> None:
    """So many inputs, some at a time; and what they do to the server together."""
    left = iter(range(most))

    async def work() -> None:
        for _ in left:
            world.record.tried[name] += 1
            await one()
            del world.upstream.requests[:]

    async with world.watched(f"{most:,} {name}") as held:
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        held.status = "done"
