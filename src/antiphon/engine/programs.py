"""Programs that call tools: played until they end, or wait for the client.

A program is always played from its start, with what the context holds of its calls. So there is one path,
whether it begins, goes on within a response or with the next request, is kept by the client alone, or was
interrupted by a crash. Each round of calls that it waits for is made as the calls of a turn are.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from antiphon.engine.prepare.fingerprints import Fingerprints
from antiphon.engine.prepare.plan import Plan
from antiphon.engine.program_record import Record, Request, call_id_of, record_of
from antiphon.engine.turn_writer import TurnWriter
from antiphon.model import Function, Message
from antiphon.protocol.content import LONGEST, ProgramCaller
from antiphon.protocol.hosted_items import Program, ProgramOutput
from antiphon.scripting.player import Player
from antiphon.scripting.program import Called, Played, Script
from antiphon.stream.items import open_item
from antiphon.stream.machine import Machine
from antiphon.tools.program import result_of

_TOO_MANY = "Error: the response may make no more tool calls"
_TOO_LONG = "Error: the program's output is too large"
_TOO_SLOW = "Error: the program took too much processor time between its calls"
_LOST = "Error: what one of the program's calls gave is not known"

SECONDS = 60.0
"""Of processor time that a program may take in one response."""

Due = Mapping[str, Called]
"""Calls that are to be made, by their ids."""


class Rounds(NamedTuple):
    """How calls are made in a run."""

    writer: Callable[[Collection[str]], TurnWriter]
    """Of a turn that may call these functions."""
    run: Callable[[TurnWriter], Awaitable[None]]
    """Makes the calls of a turn."""
    allowed: Callable[[], int | None]
    """How many calls we may still run; None: any number."""


class Programs:
    """The programs of a run."""

    def __init__(self, plan: Plan, machine: Machine, fingerprints: Fingerprints, rounds: Rounds) -> None:
        assert plan.player is not None, "without one there are no programs"
        self._player: Player = plan.player
        self._plan = plan
        self._machine = machine
        self._fingerprints = fingerprints
        self._rounds = rounds

    async def go_on(self, program: Program) -> Message | None:
        """Play it as far as it comes. The answer to the model's call; None: it waits for the client."""
        refused: dict[str, str] = {}
        made: set[str] = set()
        spent = 0.0
        while True:
            record = await self._record(program, refused)
            played = await self._play(program, record)
            spent += played.seconds
            if not played.calls:
                return self._ended(program, played)
            due = self._due(program, played, record)
            if not due:
                return None
            if made & due.keys() or spent > SECONDS:
                return self._ended(program, Played([], [], _LOST if made & due.keys() else _TOO_SLOW))
            made |= due.keys()
            writer = self._round(program, due)
            if writer.most_is_exceeded:
                return self._ended(program, Played([], [], _TOO_MANY))
            await self._rounds.run(writer)
            refused |= writer.refusals
            if writer.awaits_client:
                return None

    # ---- one round ----

    async def _record(self, program: Program, refused: Mapping[str, str]) -> Record:
        before, own = self._plan.context.items, self._machine.snapshot().output
        # In a thread, however few they are: answers may be large.
        return await asyncio.to_thread(record_of, program, before, own, self._plan.turns, refused)

    async def _play(self, program: Program, record: Record) -> Played:
        begins = self._fingerprints.read(program)
        assert begins is not None, "others are refused before"
        gone = dict.fromkeys(each.name for each in record.calls if each.name)
        tools = gone | {function.name: _only(function) for function in self._plan.toolbox.programmatic}
        script = Script(program.code, tools, begins.seed, begins.now, record.calls)
        return await self._player.play(script, self._plan.project)

    def _due(self, program: Program, played: Played, record: Record) -> Due:
        """The calls that it waits for and that were not made; one at a time, where only one may be made."""
        waiting = {call_id_of(program.call_id, call.index): call for call in played.calls}
        asked = list(record.asked)
        due = {
            call_id: call
            for call_id, call in waiting.items()
            if call_id not in record.unanswered and not _taken(asked, call)
        }
        if self._plan.request.parallel_tool_calls is False:
            return dict([*due.items()][:1]) if len(due) == len(waiting) else {}
        return due

    def _round(self, program: Program, due: Due) -> TurnWriter:
        toolbox = self._plan.toolbox
        names = [function.name for function in toolbox.programmatic]
        writer = self._rounds.writer(names)
        for call_id, called in due.items():
            call = toolbox.call(called.name, call_id, names)
            call.caller = ProgramCaller(caller_id=program.call_id)
            call.feed(called.arguments)
            writer.resume(call)
        return writer

    # ---- its end ----

    def _ended(self, program: Program, played: Played) -> Message:
        """Emit its output, which reads as this."""
        result, whole = result_of(played.parts, played.fault), played.fault is None
        if len(result) > LONGEST:
            result, whole = _TOO_LONG, False
        begun = ProgramOutput(
            id=self._machine.new_id("program_output"),
            call_id=program.call_id,
            result="",
            status="completed",
        )
        output = replace(begun, result=result, status="completed" if whole else "incomplete")
        open_item(self._machine, begun).finish(output)
        read = self._plan.toolbox.to_messages(output)
        assert read is not None, "its row reads it"
        return read[0]


def _taken(asked: list[Request], call: Called) -> bool:
    """Whether a call is one of these, which it is no more then."""
    request = (call.name, msgspec.json.decode(call.arguments)) if asked else None
    if request not in asked:
        return False
    asked.remove(request)
    return True


def _only(function: Function) -> str | None:
    """The member that a text stands for, where a function must be given that one alone."""
    required = function.parameters.get("required")
    return str(required[0]) if isinstance(required, list) and len(required) == 1 else None
