"""What the model says in one turn, given to the stream machine: deltas become verbs.

One item is open at a time, as on the real API: a delta of another kind closes what was open before. A call
is emitted while the model writes it, unless its tool must check it first, or a call before it in this turn is
not settled yet; what comes behind such a call waits, and is emitted by `run_calls`, in order.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, Literal

from antiphon import model
from antiphon.context.thought import Source
from antiphon.engine.call_runs import CallRuns
from antiphon.engine.emission import Flush
from antiphon.engine.filtered_text import FilteredText
from antiphon.engine.hosted_writer import HostedWriter, Working
from antiphon.engine.reasoning_writer import ReasoningWriter
from antiphon.engine.spoken import Spoken
from antiphon.engine.turn_calls import TurnCalls
from antiphon.model import Delta, Message
from antiphon.model.json_text import is_cut
from antiphon.protocol.errors import UpstreamError
from antiphon.protocol.ids import new_call_id
from antiphon.protocol.items import AssistantMessage
from antiphon.protocol.wire import JsonObject
from antiphon.stream.items import OpenMessage
from antiphon.stream.machine import IncompleteReason, Machine
from antiphon.tools.base import ServerCall, ToolCall
from antiphon.tools.image_call import usage_of
from antiphon.tools.names import offered_name
from antiphon.tools.partial import decode
from antiphon.tools.toolbox import Toolbox

CALL_ID_LENGTH = 64
"""Characters of a call_id, at most (surface.md section 3)."""
_SIGNED = "__thought__"
"""In an id that has a signature behind it."""

Phase = Callable[[], Literal["commentary", "final_answer"] | None]
"""What a text is to the response that a turn ends with."""
FinishReason = Literal["stop", "length", "calls", "content_filter"]


class TurnWriter(TurnCalls):
    """One turn of the model, being written.

    `offered` are the functions that it may call. `reasoning` makes the writer of its reasoning, once there is
    any. `allowed` is how many calls we may still run ourselves; None: any number. `taken` are call ids of the
    context: some upstreams count their calls from 0 in every answer, and agents refuse an id that comes back.
    `most` is how many calls the turn may have, whoever answers them; None: any number. With `ahead` the calls
    that we run are all emitted before any of them runs, so that the log can be kept first: then a crash never
    forgets that one may have taken effect. `source`: whose server answers.
    """

    __slots__ = (
        "_ahead",
        "_by_index",
        "_early",
        "_filtered",
        "_filtered_from",
        "_held",
        "_hosted",
        "_ids",
        "_machine",
        "_make_reasoning",
        "_message",
        "_phase",
        "_reasoning",
        "_said",
        "_source",
        "_take",
        "_taken",
        "_writing",
        "finished",
        "first_at",
        "usage",
    )

    def __init__(
        self,
        machine: Machine,
        toolbox: Toolbox,
        offered: Collection[str] = (),
        reasoning: Callable[[], ReasoningWriter] | None = None,
        allowed: int | None = None,
        taken: set[str] | None = None,
        most: int | None = None,
        ahead: bool = False,
        phase: Phase = lambda: None,
        source: Callable[[], Source] = lambda: ("", ""),
    ) -> None:
        super().__init__(toolbox, offered, allowed, most)
        self.usage: model.UsageDelta | None = None
        self.finished: FinishReason | None = None
        self.first_at: float | None = None
        """When the model first said something: seconds since the epoch."""
        self._machine = machine
        self._make_reasoning = reasoning or partial(ReasoningWriter, machine)
        self._taken = set() if taken is None else taken
        self._ahead = ahead
        self._phase = phase
        self._source = source
        self._early: dict[int, JsonObject] = {}
        """What goes back as it came with calls that have not begun."""
        self._by_index: dict[int, ToolCall] = {}
        """The calls that are not complete."""
        self._ids: dict[int, str] = {}
        """The call_ids of all of them."""
        self._said = Spoken()
        self._message: OpenMessage | None = None
        self._filtered: FilteredText | None = None
        self._filtered_from = 0
        """Where what it was given begins, in what was said."""
        self._reasoning: ReasoningWriter | None = None
        self._hosted: HostedWriter | None = None
        self._writing: ToolCall | None = None
        self._held: list[Delta] = []
        self._take = _TAKE

    def write(self, deltas: Sequence[Delta]) -> None:
        """Emit a batch of deltas. Raises UpstreamError when they make no sense."""
        for delta in deltas:
            self._take[type(delta)](self, delta)

    def spoken(self) -> Message:
        """The turn as the model's own message, for the turn that follows. A name that it made up is replaced
        by one that upstreams take."""
        calls = tuple(model.Call(call.id, offered_name(call.name), call.arguments) for call in self.calls)
        parts = tuple(self._said.parts())
        thought = self._reasoning
        if thought is None:
            return Message("assistant", parts, calls)
        return Message("assistant", parts, calls, reasoning=thought.text, opaque=thought.opaque)

    @property
    def ran_upstream(self) -> int:
        """How many calls the model's server has made itself."""
        return self._hosted.begun if self._hosted is not None else 0

    @property
    def cut(self) -> IncompleteReason | None:
        """Why it is the last although there is more to say."""
        if self.finished == "length":
            return "max_output_tokens"
        return "content_filter" if self.finished == "content_filter" else None

    @property
    def breaks_off(self) -> bool:
        """Whether a call of the client's ends in the middle, though the model's server says that it is whole,
        and nobody checks it."""
        call = self._writing
        live = call is not None and call.executor == "client" and call.started and not call.ended
        return call is not None and live and is_cut(call.arguments) and call.validate() is None

    # ---- the end of the turn ----

    def conclude(self) -> None:
        """Close what is open when all is said. A turn with calls ends by `run_calls`."""
        if self._message is not None and not self.calls:
            self._message.phase = self._phase()
        self.close()
        if self._hosted is not None:
            self._hosted.close()
        if self._reasoning is not None:
            self._reasoning.settle()

    async def run_calls(self, flush: Flush) -> None:
        """Emit what waited: check calls, run ours (all at once, emitted one after another). Awaits `flush`
        whenever there is something new to hand over, and goes on when it was."""
        self.close()
        self._put_program_last()
        ready = [call for call in self.calls if self._is_due(call) and await self._is_right(call)]
        if self._ahead:
            for call in ready:
                self._emit(call)
            await flush()
        ours = [call for call in ready if isinstance(call, ServerCall)]
        if ours:
            await self._run(ours, ready, flush)
        else:
            for call in ready:
                self._emit(call)
        self._release()
        await flush()

    async def _run(self, ours: Sequence[ServerCall], ready: Sequence[ToolCall], flush: Flush) -> None:
        """Emit all that is ready, and of our own calls what comes of them."""
        async with CallRuns(self._machine, flush) as runs:
            for call in ours:
                runs.begin(call)
            for each in ready:
                self._emit(each)
                await flush()
                if isinstance(each, ServerCall):
                    result = await runs.end(each)
                    self.answers.append(Message("tool", parts=result.parts, call_id=each.id))
                    await flush()

    def resume(self, call: ToolCall) -> None:
        """A whole call that the model made before or a program makes, and that may be made now."""
        self.calls.append(call)
        if call.executor == "server":
            self._admit(call)

    def close(self) -> None:
        """Close what is open, as completed."""
        if self._filtered is not None:
            self._filtered.end()
        if self._message is not None:
            self._message.close()
        if self._reasoning is not None:
            self._reasoning.close()
        call = self._writing
        if call is not None and call.started and self._passes(call):
            self._emit(call)
        self._message = self._filtered = self._writing = None

    def _emit(self, call: ToolCall) -> None:
        """Emit what is still to come of a call that is whole and valid."""
        if not call.started:
            call.start(self._machine)
        if not call.ended:
            call.end()
            self._by_index = {index: each for index, each in self._by_index.items() if each is not call}

    def _hold(self) -> None:
        """What the model says from here on waits for `run_calls`."""
        self._take = _HOLD

    def _release(self) -> None:
        """Emit what was said behind calls that are settled now."""
        self._take = _TAKE
        self.write(self._held)
        self.conclude()

    # ---- deltas ----

    def _on_held(self, delta: Delta) -> None:
        self._held.append(delta)

    def _on_text(self, delta: model.TextDelta) -> None:
        message = self._in_message()
        self._said.append(delta.text)
        if self._filtered is None:
            message.text(delta.text, delta.logprobs)
        else:
            self._filtered.feed(delta.text, delta.logprobs)

    def _on_run(self, run: model.TextRun) -> None:
        message = self._in_message()
        if self._filtered is None:
            self._said.append(run.text)
            message.run(run.text, run.pieces)
        else:
            for delta in run.deltas():
                self._on_text(delta)

    def _on_refusal(self, delta: model.RefusalDelta) -> None:
        message = self._in_message()
        if self._filtered is not None:
            self._filtered.end()
            self._filtered = self._filter(message)
        message.refusal(delta.text)

    def _on_audio(self, delta: model.AudioDelta) -> None:
        """The words are text too: sound has no place in the output, nor in later turns."""
        self._machine.speak(delta.data, delta.transcript)
        if delta.transcript:
            self._on_text(model.TextDelta(delta.transcript))

    def _on_reasoning(self, delta: model.ReasoningDelta) -> None:
        self._thinking().write(delta.text)

    def _on_summary(self, delta: model.SummaryDelta) -> None:
        self._thinking().summarize(delta.text, delta.part)

    def _on_annotation(self, delta: model.AnnotationDelta) -> None:
        if self._filtered is not None:
            self._filtered.annotate(delta.annotation, self._said.text_from(self._filtered_from))
        elif self._message is not None:
            self._message.annotate(delta.annotation)

    def _on_hosted(self, delta: model.HostedStarted) -> None:
        self._settle()
        self._hosting.start(delta)

    def _on_hosted_work(self, delta: Working) -> None:
        self._hosting.work(delta)

    def _on_hosted_end(self, delta: model.HostedEnded) -> None:
        if (part := self._hosting.end(delta)) is not None:
            self._said.append(part)

    def _on_pictures(self, delta: model.PicturesDelta) -> None:
        self._machine.count_images(usage_of(delta.tokens))

    def _on_call(self, delta: model.CallStarted) -> None:
        self._close_before_call()
        call = self._call(delta.name, self._call_id(delta.id))
        self._keep_of(call, delta)
        self.calls.append(call)
        self._ids[delta.index] = call.id
        self._by_index[delta.index] = call
        if call.executor == "server":
            self._admit(call)
        if self._take is _TAKE and not call.held and call not in self._refused:
            self._writing = call
            call.start(self._machine)
        if call.held or call.executor == "server":
            self._hold()

    def _close_before_call(self) -> None:
        """Close what is open when another call begins. A call that is not whole stays open, since upstreams
        may mix the pieces of several: what comes behind it waits."""
        call = self._writing
        if call is None or (call.arguments and isinstance(decode(call.arguments), dict)):
            self._settle()
        else:
            self._hold()

    def _settle(self) -> None:
        """Close what is open before something that is no reasoning; what came of thoughts that are not shown
        has an item of its own there."""
        self.close()
        if self._reasoning is not None:
            self._reasoning.settle()

    def _on_opaque(self, delta: model.OpaqueDelta) -> None:
        if delta.call is None:
            self._thoughts.keep(delta.members)
        elif delta.call in self._ids:
            self._thoughts.keep_of_call(self._ids[delta.call], delta.members)
        else:
            self._early[delta.call] = delta.members

    def _keep_of(self, call: ToolCall, delta: model.CallStarted) -> None:
        """What goes back with a call stands before it, where nothing is open. LiteLLM puts it into the id,
        which is too long to show then."""
        members = self._early.pop(delta.index, {})
        if len(delta.id) > CALL_ID_LENGTH and _SIGNED in delta.id:
            members = {**members, "id": delta.id}
        if members:
            self._thoughts.keep_of_call(call.id, members)
            if self._take is _TAKE and not (self._writing and not self._writing.ended):
                self._thoughts.settle()

    def _call_id(self, given: str) -> str:
        """The upstream's id of a call, or one of ours when it has none that is new and fits."""
        fits = given and len(given) <= CALL_ID_LENGTH and given not in self._taken
        call_id = given if fits else new_call_id()
        self._taken.add(call_id)
        return call_id

    def _on_arguments(self, delta: model.CallArguments) -> None:
        self._written_call(delta.index).feed(delta.text)

    def _on_call_run(self, run: model.CallRun) -> None:
        self._written_call(run.index).feed_run(run)

    def _written_call(self, index: int) -> ToolCall:
        try:
            return self._by_index[index]
        except KeyError:
            raise UpstreamError("The upstream sent arguments of a call that was not open.") from None

    def _on_usage(self, delta: model.UsageDelta) -> None:
        self.usage = delta

    def _on_finish(self, delta: model.Finished) -> None:
        self.finished = delta.reason

    def _in_message(self) -> OpenMessage:
        if self._message is None:
            self._settle()
            self._said.begin_text()
            item = AssistantMessage(id=self._machine.new_id("message"), status="in_progress", content=())
            self._message = self._machine.open(OpenMessage, item)
            self._filtered = self._filter(self._message)
        return self._message

    def _filter(self, message: OpenMessage) -> FilteredText | None:
        """What the text of a message is read through."""
        through = self._toolbox.filters()
        self._filtered_from = len(self._said)
        return None if through is None else FilteredText(message, through)

    @property
    def _thoughts(self) -> ReasoningWriter:
        if self._reasoning is None:
            self._reasoning = self._make_reasoning()
        return self._reasoning

    def _thinking(self) -> ReasoningWriter:
        """The same, when the model thinks: what else is open is closed."""
        thoughts = self._thoughts
        if not thoughts.is_open:
            self.close()
        return thoughts

    @property
    def _hosting(self) -> HostedWriter:
        if self._hosted is None:
            self._hosted = HostedWriter(self._machine, self._toolbox, self._source)
        return self._hosted


# Functions of the class, not methods of the object: it would hold itself alive until the next collection.
_SPEECH: dict[type[Any], Callable[[TurnWriter, Any], None]] = {
    model.TextDelta: TurnWriter._on_text,
    model.TextRun: TurnWriter._on_run,
    model.RefusalDelta: TurnWriter._on_refusal,
    model.AudioDelta: TurnWriter._on_audio,
    model.ReasoningDelta: TurnWriter._on_reasoning,
    model.SummaryDelta: TurnWriter._on_summary,
    model.AnnotationDelta: TurnWriter._on_annotation,
    model.HostedStarted: TurnWriter._on_hosted,
    model.HostedCode: TurnWriter._on_hosted_work,
    model.HostedWorking: TurnWriter._on_hosted_work,
    model.HostedPicture: TurnWriter._on_hosted_work,
    model.HostedEnded: TurnWriter._on_hosted_end,
}
_TAKE: dict[type[Any], Callable[[TurnWriter, Any], None]] = {
    **_SPEECH,
    model.CallStarted: TurnWriter._on_call,
    model.CallArguments: TurnWriter._on_arguments,
    model.CallRun: TurnWriter._on_call_run,
    model.OpaqueDelta: TurnWriter._on_opaque,
    model.PicturesDelta: TurnWriter._on_pictures,
    model.UsageDelta: TurnWriter._on_usage,
    model.Finished: TurnWriter._on_finish,
}
_HOLD = _TAKE | dict.fromkeys(_SPEECH, TurnWriter._on_held)
