"""Reading a log over raw HTTP: the exact bytes, over as many connections as it takes."""

import contextlib
from collections.abc import AsyncIterator

import httpx2
from tests.chaos.case import Case, Frame, Told
from tests.chaos.world import Refused, World

_HANGS_UP = 0.004
"""How probable it is after each event that a reader breaks off and comes back."""


async def follow(world: World, case: Case, told: Told) -> None:
    """Read until the response has ended; whenever the stream breaks, ask for the rest."""
    while not told.ended:
        fresh = not told.frames and told.first == 0
        query = {"stream": "true"} | ({} if fresh else {"starting_after": str(told.next - 1)})
        try:
            async with world.http.stream("GET", f"/v1/responses/{case.id}", params=query) as answer:
                await check(world, answer)
                await take(world, case, told, answer)
        except httpx2.TransportError as error:
            if told.ended and isinstance(error, httpx2.ReadTimeout):
                world.faults.append(f"{case.id}: a stream stayed open after its last event")
        if not told.ended:
            world.seen.reconnects += 1
            await world.pause()


async def check(world: World, answer: httpx2.Response) -> None:
    """Raises Refused unless a stream follows. A busy server is waited for, and its answer has no events."""
    if answer.status_code != 200:
        await world.wait_busy(answer)
    elif not answer.headers["content-type"].startswith("text/event-stream"):
        raise Refused(f"GET {answer.request.url} is no stream", 200, await answer.aread())


async def take(world: World, case: Case, told: Told, answer: httpx2.Response) -> None:
    """What one connection tells, or the part of it that the reader has patience for."""
    async for frame in frames(answer):
        note(world, case, told, frame)
        if world.random.random() < _HANGS_UP:
            return
    if answer.status_code == 200 and not told.ended:
        world.seen.early += 1


def note(world: World, case: Case, told: Told, frame: Frame) -> None:
    told.frames.append(frame)
    if frame.kind == "response.in_progress" and case.background:
        world.in_progress(case, told)


async def frames(answer: httpx2.Response) -> AsyncIterator[Frame]:
    """The events that came whole. What a dying connection left of one is told again after it."""
    if answer.status_code != 200:
        return
    rest = b""
    async for data in answer.aiter_raw():
        *whole, rest = (rest + data).split(b"\n\n")
        for frame in whole:
            if not frame.startswith(b":"):  # a comment, which breaks a silence
                yield Frame(frame)


async def whole(world: World, case: Case) -> list[Frame]:
    """The log from its beginning, as far as it is told at once."""
    found: list[Frame] = []
    query = {"stream": "true"}
    with contextlib.suppress(httpx2.TransportError):
        async with world.http.stream("GET", f"/v1/responses/{case.id}", params=query) as answer:
            await check(world, answer)
            async for frame in frames(answer):
                found.append(frame)  # noqa: PERF401  what came before it broke is kept
    return found
