"""Who would hold too much together with others waits."""

import asyncio

import pytest

from antiphon.guard.room import Room


class Holder:
    """Holds so many bytes until it is let go."""

    def __init__(self, room: Room, size: int) -> None:
        self._room = room
        self._size = size
        self.inside = False
        self._go = asyncio.Event()
        self.task = asyncio.create_task(self._hold())

    async def _hold(self) -> None:
        async with self._room.hold(self._size):
            self.inside = True
            await self._go.wait()
        self.inside = False

    async def let_go(self) -> None:
        self._go.set()
        await self.task


async def settled() -> None:
    """Everybody has done what they can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def who(*holders: Holder) -> list[bool]:
    await settled()
    return [holder.inside for holder in holders]


async def test_the_one_that_would_be_too_much_waits_and_smaller_ones_pass_it() -> None:
    room = Room(100)
    first, second, third, small = (Holder(room, size) for size in (50, 40, 30, 10))
    assert await who(first, second, third, small) == [True, True, False, True]
    await small.let_go()
    assert await who(third) == [False]
    await second.let_go()
    assert await who(first, third) == [True, True]
    await asyncio.gather(first.let_go(), third.let_go())


async def test_one_that_is_larger_than_all_there_is_comes_in_beside_others() -> None:
    room = Room(100)
    small, huge, other, more = (Holder(room, size) for size in (20, 10_000, 30, 1))
    assert await who(small, huge, other, more) == [True, True, True, False]
    await asyncio.gather(*(each.let_go() for each in (small, huge, other, more)))


async def test_who_goes_away_leaves_its_room_to_others() -> None:
    room = Room(100)
    first, second, third = (Holder(room, size) for size in (50, 50, 50))
    assert await who(first, second, third) == [True, True, False]
    waiting = Holder(room, 50)
    await settled()
    waiting.task.cancel()
    first.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first.task
    assert await who(third) == [True]
    await asyncio.gather(second.let_go(), third.let_go())
