"""The clients: each kind does what some program out there does, and gives up on nothing that was promised."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx2
import openai
from tests.chaos.case import TERMINAL_STATUS, Case, Json, Told
from tests.chaos.reading import check, follow, frames, note
from tests.chaos.world import World

Client = Callable[[World], Awaitable[None]]

# ---- beginning --------------------------------------------------------------------------------------


async def accepted(world: World, kind: str, turn: int = 1, **more: Any) -> Case:
    """A background response that was acknowledged. What was not is forgotten: it may be there or not."""
    while True:
        plan = world.plan()
        body = world.body(plan, background=True, **more)
        try:
            answer = await world.sdk.responses.with_raw_response.create(**body)
        except openai.APIConnectionError:
            world.seen.lost += 1
            await world.pause()
        except openai.APIStatusError as error:
            await world.wait_busy(error.response)
        else:
            case = Case(kind, plan, answer.parse().id, turn, polls=[answer.content])
            world.cases.append(case)
            return case


async def streamed_from_birth(world: World, kind: str, leave_after: int, **more: Any) -> tuple[Case, Told]:
    """A background response with a log, read over the request that made it until that breaks, or until so
    many events have come."""
    while True:
        plan = world.plan()
        body = world.body(plan, stream=True, background=True, **more)
        case = Case(kind, plan, "", streamed=True)
        told = await _posted(world, case, body, leave_after)
        if told.frames:
            return case, told
        await world.pause()


async def _posted(world: World, case: Case, body: Json, leave_after: int) -> Told:
    """What the request told. With the first event its response is acknowledged."""
    told = Told()
    try:
        async with world.http.stream("POST", "/v1/responses", json=body) as answer:
            await check(world, answer)
            async for frame in frames(answer):
                if not case.id:
                    case.id = frame.event["response"]["id"]
                    case.readers.append(told)
                    world.cases.append(case)
                note(world, case, told, frame)
                if len(told.frames) >= leave_after:
                    break
    except httpx2.TransportError:
        world.seen.lost += not told.frames
    return told


_NEVER = 1_000_000

# ---- following --------------------------------------------------------------------------------------


async def settled(world: World, case: Case) -> str:
    """Poll until the response has ended; its status."""
    while True:
        get = world.sdk.responses.with_raw_response.retrieve
        answer = await world.persist(get, case.id)
        case.polls.append(answer.content)
        status = answer.parse().status or ""
        if status in TERMINAL_STATUS:
            return status
        await asyncio.sleep(world.random.uniform(0.05, 0.4))


async def further_reader(world: World, case: Case, known: int) -> None:
    """One more reader, from the beginning or from anywhere that is known."""
    first = world.random.randint(0, known)
    told = Told(first)
    case.readers.append(told)
    await follow(world, case, told)


# ---- the kinds --------------------------------------------------------------------------------------


async def polled(world: World) -> None:
    """Asks for a response, and comes back for it."""
    await settled(world, await accepted(world, "polled"))


async def chained(world: World) -> None:
    """A conversation: the next turn once one is complete."""
    previous: Json = {}
    for turn in range(1, world.random.randint(2, 4) + 1):
        case = await accepted(world, "chained", turn, **previous)
        if await settled(world, case) != "completed" or world.closing:
            return
        previous = {"previous_response_id": case.id}


async def streamed(world: World) -> None:
    """Reads a response as it is made, and takes up the thread wherever it was torn."""
    case, told = await streamed_from_birth(world, "streamed", _NEVER)
    await follow(world, case, told)


async def crowded(world: World) -> None:
    """Several readers on one response, some late, some again after its end."""
    case, told = await streamed_from_birth(world, "crowded", world.random.randint(1, 40))
    known = told.frames[-1].number
    readers = [further_reader(world, case, known) for _ in range(world.random.randint(1, 3))]
    await asyncio.gather(follow(world, case, told), *readers)
    await further_reader(world, case, told.frames[-1].number)


async def parsed(world: World) -> None:
    """Reads with the official client, which resumes by the number of the last event."""
    case, told = await streamed_from_birth(world, "official", 1)
    await follow_officially(world, case)
    case.readers.remove(told)


async def follow_officially(world: World, case: Case) -> None:
    ended = False
    while not ended:
        after: Json = {"starting_after": case.parsed[-1][0]} if case.parsed else {}
        stream = await world.persist(world.sdk.responses.retrieve, case.id, stream=True, **after)
        try:
            async for event in stream:
                case.parsed.append((event.sequence_number, event.type))
                # The SDK has no type for the event of a cancelled response.
                ended = event.type.removeprefix("response.") in TERMINAL_STATUS
        except (httpx2.TransportError, openai.APIConnectionError):
            world.seen.reconnects += 1


async def cancelled(world: World) -> None:
    """Thinks better of it, and says so twice."""
    if world.random.random() < 0.5:
        case = await accepted(world, "cancelled")
        await cancel(world, case)
        return
    case, told = await streamed_from_birth(world, "cancelled", 1)
    await asyncio.gather(follow(world, case, told), cancel(world, case))


async def cancel(world: World, case: Case) -> None:
    """The second answer must be the first."""
    await asyncio.sleep(world.random.uniform(0, 2))
    for _ in range(2):
        ask = world.sdk.responses.with_raw_response.cancel
        answer = await world.persist(ask, case.id)
        case.cancels.append(answer.content)


async def foreground(world: World) -> None:
    """Waits for the answer, and loses it with the server: unless it was told to its end."""
    plan = world.plan()
    case = Case("foreground", plan, "", background=False)
    before = world.server.disturbed
    told = await _posted(world, case, world.body(plan, stream=True), _NEVER)
    # Without its database a server says that it cannot keep the answer: then it may be there or not.
    case.excused = world.server.disturbed != before or told.failed
    if not told.ended:
        await world.pause()


KINDS: dict[str, tuple[Client, int]] = {
    "polled": (polled, 4),
    "streamed": (streamed, 5),
    "crowded": (crowded, 4),
    "official": (parsed, 2),
    "cancelled": (cancelled, 4),
    "chained": (chained, 3),
    "foreground": (foreground, 3),
}
"""By their names; and how often each is drawn."""
