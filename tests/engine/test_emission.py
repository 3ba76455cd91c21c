"""How the events of a run reach a reader: in order, no faster than it reads, and never too early."""

import asyncio
from collections.abc import Sequence

import pytest
from tests.stream.test_machine import machine, message

from antiphon.engine.emission import Emission
from antiphon.engine.event_log import EventLog
from antiphon.engine.unread import Unread
from antiphon.protocol.delta_runs import Emitted
from antiphon.protocol.events import Event, event_type
from antiphon.protocol.steering import SteerAccepted, SteerRef
from antiphon.stream.machine import Machine

SOON = 0.01


class Reader:
    """Takes batches; one at a time, as fast as it is let."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.asked = asyncio.Event()
        self.got = asyncio.Event()
        self.may_read = asyncio.Event()
        self.may_read.set()
        self._reading = False

    async def emit(self, events: Sequence[Event]) -> None:
        assert events, "an empty batch says nothing"
        assert not self._reading, "two batches at once"
        self._reading = True
        self.asked.set()
        await self.may_read.wait()
        self._reading = False
        self.seen += [event_type(type(event)).removeprefix("response.") for event in events]
        self.got.set()

    async def next(self) -> list[str]:
        """All there is when a batch has come."""
        async with asyncio.timeout(60):
            await self.got.wait()
        self.got.clear()
        return self.seen


def begun() -> tuple[Machine, EventLog]:
    made = machine()
    made.create()
    made.start()
    return made, EventLog(made, None)


async def test_nothing_is_handed_over_before_it_is_flushed_or_the_grace_is_over() -> None:
    _, events = begun()
    reader = Reader()
    async with Emission(events, reader.emit) as emission:
        emission.watch(SOON, None)
        assert not emission.opened
        assert await reader.next() == ["created", "in_progress"]
        assert emission.opened


async def test_a_silence_is_broken_again_and_again() -> None:
    _, events = begun()
    reader = Reader()
    async with Emission(events, reader.emit) as emission:
        emission.watch(None, SOON)
        await emission.flush()
        while len(await reader.next()) < 5:
            pass
    assert reader.seen == ["created", *["in_progress"] * (len(reader.seen) - 1)]


async def test_a_reader_that_is_slow_is_not_pressed() -> None:
    made, events = begun()
    reader = Reader()
    reader.may_read.clear()
    async with Emission(events, reader.emit) as emission:
        emission.watch(None, SOON)
        flushing = asyncio.create_task(emission.flush())
        loop = asyncio.get_running_loop()
        later = loop.create_future()
        loop.call_later(10 * SOON, later.set_result, None)
        await later
        assert made.drain() == []
        reader.may_read.set()
        await flushing
        assert reader.seen == ["created", "in_progress"]


async def test_a_batch_waits_for_the_sign_of_life_before_it() -> None:
    made, events = begun()
    reader = Reader()
    reader.may_read.clear()
    async with Emission(events, reader.emit) as emission:
        emission.watch(SOON, None)
        await reader.asked.wait()
        message(made).close()
        flushing = asyncio.create_task(emission.flush())
        await asyncio.sleep(0)
        reader.may_read.set()
        await flushing
    assert reader.seen[:3] == ["created", "in_progress", "output_item.added"]


async def test_the_end_is_handed_over_by_nobody_but_the_run() -> None:
    made, events = begun()
    reader = Reader()
    async with Emission(events, reader.emit) as emission:
        emission.watch(SOON, SOON)
        made.complete(None, 1)
        loop = asyncio.get_running_loop()
        later = loop.create_future()
        loop.call_later(10 * SOON, later.set_result, None)
        await later
        assert reader.seen == []
        await emission.flush()
    assert reader.seen[-1] == "completed"


def steered(made: Machine, emission: Emission) -> None:
    made.steer(SteerAccepted(steer=SteerRef("steer_1", made.id)))
    emission.nudge()


async def test_what_is_emitted_beside_the_run_is_handed_over_without_it() -> None:
    made, events = begun()
    reader = Reader()
    async with Emission(events, reader.emit) as emission:
        await emission.flush()
        reader.may_read.clear()
        reader.asked.clear()
        steered(made, emission)
        await reader.asked.wait()
        steered(made, emission)
        reader.may_read.set()
        while reader.seen[2:] != ["steer.accepted"] * 2:
            await reader.next()


async def test_who_emits_beside_the_run_can_wait_until_it_is_read() -> None:
    made, events = begun()
    reader = Reader()
    async with Emission(events, reader.emit) as emission, asyncio.TaskGroup() as waiting:
        await emission.flush()
        reader.may_read.clear()
        reader.asked.clear()
        steered(made, emission)
        first = waiting.create_task(emission.taken())
        await reader.asked.wait()
        steered(made, emission)
        second = waiting.create_task(emission.taken())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not first.done()
        assert not second.done()
        reader.may_read.set()
        async with asyncio.timeout(60):
            await second
        assert first.done()
        assert reader.seen[2:] == ["steer.accepted"] * 2


async def test_a_reader_that_keeps_up_is_not_waited_for_and_one_that_does_not_misses_nothing() -> None:
    made, events = begun()
    reader, keeps_up = Reader(), True

    def at_once(events: Sequence[Emitted]) -> bool:
        if keeps_up:
            reader.seen += ["at once"] * len(events)
        return keeps_up

    async with Emission(events, reader.emit, at_once=at_once) as emission:
        assert not emission.flush_at_once(), "nothing may be handed over before it is opened"
        await emission.flush()
        message(made).close()
        taken = asyncio.create_task(emission.taken())
        await asyncio.sleep(0)
        assert emission.flush_at_once()
        await taken
        keeps_up = False
        message(made).close()
        assert not emission.flush_at_once()
        message(made)
        await emission.flush()
        steered(made, emission)
        assert not emission.flush_at_once(), "somebody else is about to"
        await emission.flush()
    one = ["output_item.added", "output_item.done"]
    assert reader.seen == ["created", "in_progress", *["at once"] * 2, *one, one[0], "steer.accepted"]


async def test_what_the_reader_is_told_nothing_of_breaks_no_silence_and_is_not_waited_for() -> None:
    _, events = begun()
    reader = Reader()

    def at_once(events: Sequence[Emitted]) -> bool:
        raise AssertionError("an empty batch says nothing")

    async with Emission(events, reader.emit, at_once=at_once) as emission:
        emission.watch(None, 20 * SOON)
        await emission.flush()
        reader.got.clear()
        taken = asyncio.create_task(emission.taken())
        async with asyncio.timeout(60):
            assert emission.flush_at_once()
            while not reader.got.is_set() and emission.flush_at_once():  # until a sign of life is on its way
                assert not taken.done()
                await asyncio.sleep(SOON)
            await taken
    assert reader.seen == ["created", "in_progress", "in_progress"]


async def test_nobody_waits_for_a_reader_that_never_was() -> None:
    made, events = begun()
    async with Unread(events) as emission, asyncio.timeout(60):
        await emission.flush()
        steered(made, emission)
        waiting = asyncio.create_task(emission.taken())
        await emission.flush()
        await waiting


async def test_nobody_waits_for_a_reader_that_is_gone() -> None:
    made, events = begun()
    asked, gone = asyncio.Event(), asyncio.Event()

    async def emit(events: Sequence[Event]) -> None:
        if event_type(type(events[0])).endswith("accepted"):
            asked.set()
            await gone.wait()
            raise ConnectionError

    async with Emission(events, emit) as emission, asyncio.timeout(60):
        await emission.flush()
        steered(made, emission)
        first = asyncio.create_task(emission.taken())
        await asked.wait()
        steered(made, emission)
        second = asyncio.create_task(emission.taken())
        await asyncio.sleep(0)
        gone.set()
        await asyncio.gather(first, second)
        steered(made, emission)
        await emission.taken()
        with pytest.raises(ConnectionError):
            await emission.flush()


async def test_nobody_waits_for_a_reader_when_the_run_is_over() -> None:
    made, events = begun()
    async with asyncio.timeout(60):
        async with Emission(events, Reader().emit) as emission:
            made.steer(SteerAccepted(steer=SteerRef("steer_1", made.id)))
            waiting = asyncio.create_task(emission.taken())
            await asyncio.sleep(0)
        await waiting
        await emission.taken()


async def test_the_end_waits_for_the_run_while_a_batch_beside_it_is_read() -> None:
    made, events = begun()
    reader = Reader()
    async with Emission(events, reader.emit) as emission:
        await emission.flush()
        reader.may_read.clear()
        reader.asked.clear()
        reader.got.clear()
        steered(made, emission)
        await reader.asked.wait()
        steered(made, emission)
        made.incomplete("steered", None)
        reader.may_read.set()
        await reader.next()
        for _ in range(10):  # whoever would hand over more may run now
            await asyncio.sleep(0)
        assert reader.seen[2:] == ["steer.accepted"]
        await emission.flush()
    assert reader.seen[2:] == ["steer.accepted", "steer.accepted", "incomplete"]


async def test_the_end_waits_for_the_run_that_ends_before_what_is_beside_it_is_handed_over() -> None:
    made, events = begun()
    reader = Reader()
    async with Emission(events, reader.emit) as emission:
        await emission.flush()
        steered(made, emission)
        made.incomplete("steered", None)
        for _ in range(10):
            await asyncio.sleep(0)
        assert reader.seen == ["created", "in_progress"]
        await emission.flush()
    assert reader.seen[2:] == ["steer.accepted", "incomplete"]


async def test_what_goes_wrong_in_a_sign_of_life_reaches_the_run() -> None:
    _, events = begun()
    asked = asyncio.Event()

    async def emit(_: Sequence[Event]) -> None:
        asked.set()
        raise ConnectionError

    async with Emission(events, emit) as emission:
        emission.watch(SOON, SOON)
        await asked.wait()
        with pytest.raises(ConnectionError):
            await emission.flush()
