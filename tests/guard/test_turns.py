"""Turns that several share."""

import asyncio

from antiphon.guard.turns import Turns


async def _hold(turns: Turns, owner: str, served: list[str], release: asyncio.Event) -> None:
    async with turns.turn(owner):
        served.append(owner)
        await release.wait()


async def _settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_one_owner_never_has_all_turns() -> None:
    turns, served, release = Turns(3), list[str](), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for owner in ["greedy"] * 10 + ["modest"]:
            tasks.create_task(_hold(turns, owner, served, release))
        await _settled()
        assert sorted(served) == ["greedy", "greedy", "modest"]
        release.set()
    assert served.count("greedy") == 10


async def test_an_owner_has_no_more_turns_than_its_share() -> None:
    turns, served, release = Turns(5, 2), list[str](), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for owner in ["a"] * 4 + ["b"] * 4:
            tasks.create_task(_hold(turns, owner, served, release))
        await _settled()
        assert sorted(served) == ["a", "a", "b", "b"]
        release.set()


async def test_those_who_wait_are_served_in_rotation() -> None:
    turns, served = Turns(1), list[str]()
    first = asyncio.Event()

    async def use(owner: str) -> None:
        async with turns.turn(owner):
            served.append(owner)
            await first.wait()

    async with asyncio.TaskGroup() as tasks:
        for owner in ["a", "a", "a", "b", "c", "b"]:
            tasks.create_task(use(owner))
        await _settled()
        first.set()
    assert served == ["a", "a", "b", "c", "a", "b"]


async def test_who_stops_waiting_leaves_no_trace() -> None:
    turns, served, release = Turns(1), list[str](), asyncio.Event()
    holder = asyncio.create_task(_hold(turns, "a", served, release))
    await _settled()
    gone = asyncio.create_task(_hold(turns, "b", served, release))
    stays = asyncio.create_task(_hold(turns, "b", served, release))
    await _settled()
    gone.cancel()
    await asyncio.wait({gone})
    release.set()
    await asyncio.gather(holder, stays)
    assert served == ["a", "b"]


async def test_a_turn_that_is_granted_to_one_who_just_left_goes_to_the_next() -> None:
    turns, served, release = Turns(1), list[str](), asyncio.Event()
    holder = asyncio.create_task(_hold(turns, "a", served, release))
    await _settled()
    leaving = asyncio.create_task(_hold(turns, "b", served, release))
    stays = asyncio.create_task(_hold(turns, "c", served, release))
    await _settled()
    release.set()
    leaving.cancel()
    await asyncio.gather(holder, stays)
    assert served == ["a", "c"]
