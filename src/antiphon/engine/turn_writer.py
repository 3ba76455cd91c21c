"""What the model says in one turn, told to the stream machine: deltas become verbs.

One item is open at a time, as on the real API: a delta of another kind closes what was open before. A call
is told while the model writes it, unless its tool must check it first, or a call before it in this turn is
not settled yet; what comes behind such a call waits, and is told by `run_calls`, in order.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, cast

from antiphon import model
from antiphon.model import Delta, Message, TextPart
from antiphon.protocol.errors import UpstreamError
from antiphon.protocol.ids import new_call_id
from antiphon.protocol.items import AssistantMessage, Reasoning
from antiphon.protocol.request import Summary
from antiphon.stream.items import OpenMessage, OpenReasoning
from antiphon.stream.machine import Machine
from antiphon.tools.base import InvalidCall, OpenCall, OpenServerCall, ServerTool, Tool, ToolResult
from antiphon.tools.toolbox import Toolbox

CALL_ID_LENGTH = 64
"""Characters of a call_id, at most (surface.md section 3)."""

FinishReason = Literal["stop", "length", "calls", "content_filter"]


class TurnCall:
    """A call of the model's."""

    def __init__(self, tool: Tool, name: str, call_id: str) -> None:
        self.tool = tool
        self.name = name
        self.id = call_id
        self.executor = tool.executor(name)
        self.handle: OpenCall | None = None
        self.told = False
        self.refused = False
        """Whether it was not valid: the model is asked again."""
        self.pieces: list[str] = []

    @property
    def arguments(self) -> str:
        return "".join(self.pieces)


class TurnWriter:
    """One turn of the model, being told.

    `seal` is given when the client asked for sealed reasoning, `summary` when it asked for one: a detailed
    summary is the reasoning itself, word for word; any other comes among the deltas. `allowed` is how many
    calls we may still run ourselves; None: any number. `taken` are call ids of the context: some upstreams
    count their calls from 0 in every answer, and agents refuse an id that comes back. With `ahead` the calls
    that we run are all told before any of them runs, so that the log can be kept first: then a crash never
    forgets that one may have taken effect.
    """

    def __init__(
        self,
        machine: Machine,
        toolbox: Toolbox,
        seal: Callable[[str], str] | None = None,
        summary: Summary | None = None,
        allowed: int | None = None,
        taken: set[str] | None = None,
        ahead: bool = False,
    ) -> None:
        self.usage: model.UsageDelta | None = None
        self.finished: FinishReason | None = None
        self.calls: list[TurnCall] = []
        self.answers: list[Message] = []
        """What the model is told of its calls: results of those that we ran, faults of those refused."""
        self.ran = 0
        """How many calls are ours to run."""
        self.faults: list[str] = []
        """What was wrong with calls that did not pass their tool's check."""
        self._machine = machine
        self._toolbox = toolbox
        self._seal = seal
        self._summary = summary
        self._allowed = allowed
        self._taken = set() if taken is None else taken
        self._ahead = ahead
        self._message: OpenMessage | None = None
        self._thought: OpenReasoning | None = None
        self._writing: TurnCall | None = None
        self._said: list[str] = []
        self._reasoned: list[str] = []
        self._thoughts: list[str] = []
        self._waiting = False
        self._held: list[Delta] = []
        self._take = _TAKE

    def write(self, deltas: Sequence[Delta]) -> None:
        """Tell a batch of deltas. Raises UpstreamError when they make no sense."""
        for delta in deltas:
            self._take[type(delta)](self, delta)

    def spoken(self) -> Message:
        """The turn as the model's own message, for the turn that follows."""
        calls = tuple(model.Call(call.id, call.name, call.arguments) for call in self.calls)
        parts = (TextPart("".join(self._said)),) if self._said else ()
        return Message("assistant", parts=parts, calls=calls, reasoning="".join(self._thoughts))

    @property
    def awaits_client(self) -> bool:
        """Whether a call was told that is not ours to answer."""
        return any(call.told and call.executor != "server" for call in self.calls)

    @property
    def ends(self) -> bool:
        """Whether no further turn of the model follows this one, which has ended."""
        return self.awaits_client or not (self.answers or self.ran or self.faults)

    # ---- the end of the turn ----

    async def run_calls(self, flush: Callable[[], Awaitable[None]]) -> None:
        """Tell what waited: check calls, run ours (all at once, told one after another). Awaits `flush`
        whenever there is something new to hand over, and goes on when it was."""
        self.close()
        ready = [call for call in self.calls if not call.told and self._passes(call)]
        if self._ahead:
            for call in ready:
                self._tell_call(call)
            await flush()
        runs = {id(call): asyncio.create_task(_run(call)) for call in ready if call.executor == "server"}
        try:
            for call in ready:
                self._tell_call(call)
                if (run := runs.get(id(call))) and not call.refused:
                    await flush()
                    result = await run
                    self.answers.append(Message("tool", parts=result.parts, call_id=call.id))
                    cast(OpenServerCall, call.handle).conclude(result)
                await flush()
        finally:
            for run in runs.values():
                run.cancel()
        self._release()
        await flush()

    def resume(self, tool: Tool, name: str, call_id: str, arguments: str) -> None:
        """A call that the model made before, and that is settled now."""
        call = TurnCall(tool, name, call_id)
        call.pieces.append(arguments)
        self.calls.append(call)
        self._admit(call)

    def close(self) -> None:
        """Close what is open, as completed."""
        if self._message is not None:
            self._message.close()
        if self._thought is not None:
            if self._seal is not None and self._reasoned:
                self._thought.encrypted_content = self._seal("".join(self._reasoned))
            self._thought.close()
        call = self._writing
        if call is not None and call.handle is not None:
            self._end(call, call.handle)
        self._message = self._thought = self._writing = None

    def _passes(self, call: TurnCall) -> bool:
        """Whether a call that was held may be told."""
        if not call.refused and call.tool.buffers(call.name):
            fault = call.tool.check(call.name, call.arguments)
            if fault is not None:
                self._refuse(call, fault)
        return not call.refused

    def _refuse(self, call: TurnCall, fault: str) -> None:
        call.refused = True
        self.faults.append(fault)
        self.answers.append(Message("tool", parts=(TextPart(fault),), call_id=call.id))

    def _admit(self, call: TurnCall) -> None:
        """A call of ours counts; one too many is ignored (`max_tool_calls`), and the model is told so."""
        if self._allowed is None or self.ran < self._allowed:
            self.ran += 1
            return
        call.refused = True
        told = TextPart("This call was not made: the response may make no more tool calls.")
        self.answers.append(Message("tool", parts=(told,), call_id=call.id))

    def _tell_call(self, call: TurnCall) -> None:
        if call.handle is None:
            call.handle = call.tool.open(self._machine, call.name, call.id)
            call.handle.arguments(call.arguments)
            self._end(call, call.handle)
        call.told = not call.refused

    def _end(self, call: TurnCall, handle: OpenCall) -> None:
        """All of the call was told, unless it turns out to be none."""
        try:
            handle.close()
        except InvalidCall as fault:
            self._refuse(call, str(fault))
        else:
            call.told = call.executor != "server"

    def _hold(self) -> None:
        """What the model says from here on waits for `run_calls`."""
        self._waiting = True
        self._take = _HOLD

    def _release(self) -> None:
        """Tell what was said behind calls that are settled now."""
        self._take = _TAKE
        self.write(self._held)
        self.close()

    # ---- deltas ----

    def _on_held(self, delta: Delta) -> None:
        self._held.append(delta)

    def _on_text(self, delta: model.TextDelta) -> None:
        self._said.append(delta.text)
        self._in_message().text(delta.text, delta.logprobs)

    def _on_refusal(self, delta: model.RefusalDelta) -> None:
        self._in_message().refusal(delta.text)

    def _on_audio(self, delta: model.AudioDelta) -> None:
        """The words are told as text too: sound has no place in the output, nor in later turns."""
        self._machine.speak(delta.data, delta.transcript)
        if delta.transcript:
            self._on_text(model.TextDelta(delta.transcript))

    def _on_reasoning(self, delta: model.ReasoningDelta) -> None:
        thought = self._in_thought()
        self._reasoned.append(delta.text)
        self._thoughts.append(delta.text)
        if self._summary is None:
            thought.text(delta.text)
        elif self._summary == "detailed":
            thought.summary(delta.text)

    def _on_summary(self, delta: model.SummaryDelta) -> None:
        self._in_thought().summary(delta.text)

    def _on_call(self, delta: model.CallStarted) -> None:
        self.close()
        call = TurnCall(self._toolbox.tool(delta.name), delta.name, self._call_id(delta.id))
        self.calls.append(call)
        self._writing = call
        held = call.tool.buffers(call.name)
        if call.executor == "server":
            self._admit(call)
        if not self._waiting and not held and not call.refused:
            call.handle = call.tool.open(self._machine, call.name, call.id)
        if held or call.executor == "server":
            self._hold()

    def _call_id(self, told: str) -> str:
        """The upstream's id of a call, or one of ours when it has none that is new and fits."""
        call_id = told if told and len(told) <= CALL_ID_LENGTH and told not in self._taken else new_call_id()
        self._taken.add(call_id)
        return call_id

    def _on_arguments(self, delta: model.CallArguments) -> None:
        call = self._writing
        if call is None:
            raise UpstreamError("The upstream sent arguments of a call that it had not begun.")
        call.pieces.append(delta.text)
        if call.handle is not None:
            call.handle.arguments(delta.text)

    def _on_usage(self, delta: model.UsageDelta) -> None:
        self.usage = delta

    def _on_finish(self, delta: model.Finished) -> None:
        self.finished = delta.reason

    def _in_message(self) -> OpenMessage:
        if self._message is None:
            self.close()
            item = AssistantMessage(id=self._machine.new_id("message"), status="in_progress", content=[])
            self._message = self._machine.open(OpenMessage, item)
        return self._message

    def _in_thought(self) -> OpenReasoning:
        if self._thought is None:
            self.close()
            self._reasoned = []
            item = Reasoning(id=self._machine.new_id("reasoning"), summary=[])
            self._thought = self._machine.open(OpenReasoning, item)
        return self._thought


# Functions of the class, not methods of the object: it would hold itself alive until the next collection.
_SPEECH: dict[type[Any], Callable[[TurnWriter, Any], None]] = {
    model.TextDelta: TurnWriter._on_text,
    model.RefusalDelta: TurnWriter._on_refusal,
    model.AudioDelta: TurnWriter._on_audio,
    model.ReasoningDelta: TurnWriter._on_reasoning,
    model.SummaryDelta: TurnWriter._on_summary,
}
_TAKE: dict[type[Any], Callable[[TurnWriter, Any], None]] = {
    **_SPEECH,
    model.CallStarted: TurnWriter._on_call,
    model.CallArguments: TurnWriter._on_arguments,
    model.UsageDelta: TurnWriter._on_usage,
    model.Finished: TurnWriter._on_finish,
}
_HOLD = _TAKE | dict.fromkeys(_SPEECH, TurnWriter._on_held)


async def _run(call: TurnCall) -> ToolResult:
    return await cast(ServerTool, call.tool).run(call.name, call.arguments)
