"""Sections: damaged bodies of every endpoint, damaged addresses and queries, damaged frames."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from tests.attack.corpus import Bodies, bodies
from tests.attack.damage import damaged
from tests.attack.world import HANG, KEYS, Effort, World

from antiphon.api.frames import MESSAGE_BYTES

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
    *("/v1/containers", "/v1/containers/{container}", "/v1/containers/{container}/files", "/v1/skills"),
    *("/v1/containers/{container}/files/{held}", "/v1/containers/{container}/files/{held}/content"),
    *("/v1/skills/{skill}", "/v1/skills/{skill}/content", "/v1/skills/{skill}/versions"),
    *("/v1/skills/{skill}/versions/{item}", "/v1/skills/{skill}/versions/1/content"),
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
    """What a WebSocket is sent. Each frame is answered, and it stays open but for what no WebSocket takes."""
    good = bodies(_GOOD, world.seed)
    for _ in range(4):
        left = effort.most // 8
        while left > 0:
            left -= await _talk(world, good, left)


async def _talk(world: World, good: Bodies, most: int) -> int:
    """Frames over one connection, until they are enough or it has ended; how many they were."""
    headers = {"Authorization": f"Bearer {KEYS['mallory']}"}
    url = f"{world.server.url}/v1/responses"
    async with world.http.ws_connect(url, headers=headers, max_msg_size=0) as socket:
        for sent in range(1, most + 1):
            frame = _frame(world, good)
            kind = aiohttp.WSMsgType.BINARY if world.random.random() < 0.1 else aiohttp.WSMsgType.TEXT
            world.record.tried["frames"] += 1
            with suppress(ConnectionError):  # there may still be words to read
                await socket.send_frame(frame, kind)
            if not await _answered(world, socket, frame) or not _is_taken(frame, kind):
                return sent
    return most


def _is_taken(frame: bytes, kind: aiohttp.WSMsgType) -> bool:
    """Whether a WebSocket stays open that is sent such a thing."""
    if len(frame) > MESSAGE_BYTES:
        return False
    try:
        return kind is aiohttp.WSMsgType.BINARY or bool(frame.decode()) or not frame
    except UnicodeDecodeError:
        return False


def _frame(world: World, good: Bodies) -> bytes:
    body = world.random.choice(good["/v1/responses"])
    more = world.random.choice(({}, {}, {"generate": False}, {"stream_id": "s"}))
    frame = {**body, "type": "response.create", **more}
    return damaged(world.random, frame, good["/v1/responses"])


async def _answered(world: World, socket: aiohttp.ClientWebSocketResponse, frame: bytes) -> bool:
    try:
        async with asyncio.timeout(HANG):
            async for message in socket:
                if world.hears(msgspec.json.decode(message.data), frame):
                    return True
    except TimeoutError:
        world.record.hangs += 1
        world.broken(f"a frame is not answered: {frame[:300]!r}")
        return False
    world.broken(f"a frame ends its connection without words: {len(frame)} bytes, {frame[:300]!r}")
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
