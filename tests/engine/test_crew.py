"""Agents of a response at work, where it matters what happens at once: the tests play their turns."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import pytest
from tests.stream.test_machine import message, running

from antiphon.context.agents import ROOT
from antiphon.context.seal import KEY_BYTES, Seal
from antiphon.context.transcript import Transcript
from antiphon.engine.agent import Takes
from antiphon.engine.agents import Crew
from antiphon.engine.emission import Emission, Emit, Flush
from antiphon.engine.event_log import EventLog
from antiphon.engine.histories import History
from antiphon.engine.prepare.plan import Plan
from antiphon.engine.prepare.request_context import RequestContext
from antiphon.engine.prepare.turn_builder import TurnBuilder
from antiphon.engine.turn_writer import FinishReason, Phase, TurnWriter
from antiphon.model import Finished, Turn
from antiphon.protocol.delta_runs import Emitted, single
from antiphon.protocol.request import CreateResponse, MultiAgent
from antiphon.protocol.response import opening
from antiphon.stream.machine import SPEAKER, IncompleteReason
from antiphon.tools.toolbox import Toolbox

EMPTY = Turn(model="m", messages=())
UNUSED: Any = None


def plan_of(*, agents: int = 9) -> Plan:
    """Of a request that brings nothing but its agents."""
    request = CreateResponse(model="m", input="Go.", multi_agent=MultiAgent(True, agents))
    toolbox = Toolbox()
    transcript = Transcript(lambda item: None, lambda kind, sealed: None, lambda sealed: None)
    return Plan(
        project="p",
        request=request,
        response=opening(request, "resp_1", 1),
        context=RequestContext(past=History(), input=(), prompt=None, trigger=None),
        caller=UNUSED,
        toolbox=toolbox,
        turns=TurnBuilder(empty=EMPTY, request=request, transcript=transcript, toolbox=toolbox),
        turn=EMPTY,
        followed=True,
        generates=True,
        approved=(),
        player=None,
        programs=(),
        attach=UNUSED,
        compacts=None,
    )


async def discard(events: Sequence[Emitted]) -> None:
    """Nobody reads along."""


class Company:
    """A crew whose agents do what `plays` says, by their names, with their turns."""

    def __init__(self, emit: Emit = discard) -> None:
        self.machine = running()
        self.plays: dict[str, Callable[[Flush], Awaitable[FinishReason]]] = {}
        self.asked: list[str] = []
        self.plan = plan_of()
        self._events = EventLog(self.machine, None)
        self.emission = Emission(self._events, emit)
        takes = Takes(self._take, UNUSED, UNUSED)
        self.crew = Crew(self.plan, self.machine, Seal(bytes(KEY_BYTES)), takes, self.emission)

    async def run(self) -> IncompleteReason | None:
        async with asyncio.timeout(60):
            return await self.crew.run(EMPTY)

    async def spawn(self, parent: str, name: str) -> str:
        return await self.crew.act(parent, "spawn_agent", {"task_name": name, "message": "Do."})

    async def follow_up(self, author: str, target: str) -> str:
        return await self.crew.act(author, "followup_task", {"target": target, "message": "More."})

    async def interrupt(self, target: str) -> str:
        return await self.crew.act(ROOT, "interrupt_agent", {"target": target})

    async def _take(self, turn: Turn, flush: Flush, phase: Phase) -> TurnWriter:
        name = cast(str, SPEAKER.get())
        self.asked.append(name)
        writer = TurnWriter(self.machine, self.plan.toolbox, phase=phase)
        writer.write([Finished(await self.plays[name](flush))])
        if writer.finished == "stop":
            writer.conclude()
            await flush()
        return writer


class Slow:
    """Work that takes its time to stop."""

    def __init__(self) -> None:
        self.begun, self.stops, self.may_stop = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.stopped = False

    async def __call__(self, flush: Flush) -> FinishReason:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.stops.set()
            await self.may_stop.wait()
            self.stopped = True
        return "stop"


async def test_when_a_response_ends_nobody_begins_work_while_others_stop() -> None:
    company, slow, told = Company(), Slow(), []

    async def root(flush: Flush) -> FinishReason:
        for name in ("a", "b", "c"):
            await company.spawn(ROOT, name)
        await slow.begun.wait()
        return "length"

    async def busy(flush: Flush) -> FinishReason:
        try:
            await slow.stops.wait()
        finally:
            told.append(await company.spawn("/root/b", "d"))
            told.append(await company.follow_up("/root/b", "/root/c"))
            slow.may_stop.set()
        return "stop"

    async def quick(flush: Flush) -> FinishReason:
        return "stop"

    company.plays = {ROOT: root, "/root/a": slow, "/root/b": busy, "/root/c": quick, "/root/b/d": quick}
    assert await company.run() == "max_output_tokens"
    assert sorted(company.asked) == [ROOT, "/root/a", "/root/b", "/root/c"]
    assert all("nobody begins" in each for each in told)
    assert slow.stopped


async def test_who_cancels_a_response_twice_leaves_none_of_its_agents_at_work() -> None:
    company = Company()
    slow = {f"/root/{name}": Slow() for name in ("a", "b")}

    async def root(flush: Flush) -> FinishReason:
        for name in slow:
            await company.spawn(ROOT, name.rpartition("/")[2])
        await asyncio.Event().wait()
        return "stop"

    company.plays = {ROOT: root, **slow}
    run = asyncio.create_task(company.run())
    for each in slow.values():
        await each.begun.wait()
    run.cancel()
    await slow["/root/a"].stops.wait()
    run.cancel()
    for each in slow.values():
        each.may_stop.set()
    await asyncio.wait({run})
    assert run.cancelled()
    assert all(each.stopped for each in slow.values())


@pytest.mark.parametrize("order", ["interrupt, then more", "more, then interrupt"])
async def test_an_agent_that_is_just_ending_goes_on_with_what_it_is_given_then(order: str) -> None:
    company, slow = Company(), Slow()
    slow.may_stop.set()
    steps = [lambda: company.interrupt("/root/a"), lambda: company.follow_up(ROOT, "/root/a")]

    async def root(flush: Flush) -> FinishReason:
        if company.asked.count(ROOT) == 1:
            await company.spawn(ROOT, "a")
            await slow.begun.wait()
            for step in steps if order.startswith("interrupt") else reversed(steps):
                await step()
        return "stop"

    async def worker(flush: Flush) -> FinishReason:
        return await slow(flush) if company.asked.count("/root/a") == 1 else "stop"

    company.plays = {ROOT: root, "/root/a": worker}
    await company.run()
    assert company.asked.count("/root/a") == (2 if order.startswith("interrupt") else 1)


class SlowReader:
    """Takes a batch when it is let."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.asked, self.may_read = asyncio.Event(), asyncio.Event()

    async def emit(self, events: Sequence[Emitted]) -> None:
        self.asked.set()
        await self.may_read.wait()
        self.numbers += [event.sequence_number for event in single(events)]


@pytest.mark.parametrize("end", ["interrupt", "cut"])
async def test_who_is_stopped_while_a_batch_is_read_takes_nothing_of_it_along(end: str) -> None:
    reader = SlowReader()
    company = Company(reader.emit)

    async def root(flush: Flush) -> FinishReason:
        await company.spawn(ROOT, "a")
        await reader.asked.wait()
        asyncio.get_running_loop().call_later(0.05, reader.may_read.set)
        if end == "cut":
            return "length"
        await company.interrupt("/root/a")
        return "stop"

    async def writing(flush: Flush) -> FinishReason:
        message(company.machine).close()
        await flush()
        return "stop"

    company.plays = {ROOT: root, "/root/a": writing}
    await company.run()
    message(company.machine).close()
    await company.emission.flush()
    assert reader.numbers == list(range(len(reader.numbers)))


async def test_a_reader_that_never_reads_does_not_hold_a_response_that_is_cancelled() -> None:
    reader = SlowReader()
    company = Company(reader.emit)

    async def root(flush: Flush) -> FinishReason:
        await flush()
        return "stop"

    company.plays = {ROOT: root}
    run = asyncio.create_task(company.run())
    await reader.asked.wait()
    run.cancel()
    await asyncio.wait({run})
    assert run.cancelled()
