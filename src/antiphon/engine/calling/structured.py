"""Structured output on any model.

The ladder: a server that knows JSON schemas gets the schema; its answer is streamed as it comes, and checked
when it ends. One that knows only JSON, or not even that, or that answers in prose all the same, gets the
schema in words; its answer is held back until it is whole and checked. One that does not fit is shown to the
model with what is wrong, and asked for again, a few times. Then the response fails in words.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import aclosing
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from antiphon.engine.calling.ask import Ask
from antiphon.model import (
    AnnotationDelta,
    CallStarted,
    Capabilities,
    Delta,
    Deltas,
    Finished,
    Grammar,
    HostedStarted,
    JsonSchema,
    Message,
    Overrated,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    TextPart,
    Turn,
    UsageDelta,
    single,
)
from antiphon.model.json_text import JsonEnd, is_json
from antiphon.model.turn import leading
from antiphon.protocol.errors import ModelFault
from antiphon.protocol.wire import encode
from antiphon.tools.schema import Schema, SchemaMaker

REPAIRS = 3
"""How often the model is asked again."""


class StructuredOutput(Struct, eq=False):
    """Holds answers to the form that their turn asks for. A server's promise to do so is checked; where it
    cannot, or does not keep it, the next step of the ladder is taken."""

    _ask: Ask
    _can: Callable[[str], Capabilities]
    """What a model can do, as far as is known by now."""
    _schema: SchemaMaker

    def stream(self, turn: Turn) -> Deltas:
        """The answer. Raises ModelFault when it does not come to fit."""
        if turn.format == "text" or isinstance(turn.format, Grammar):
            return self._ask(turn)
        in_words = _needs_help(turn, self._can(turn.model))
        if turn.prewarms:  # the same words, and nobody who reads the answer
            return self._ask(_instructed(turn, self._can(turn.model)) if in_words else turn)
        return self._asked_in_words(turn) if in_words else self._native(turn)

    async def _native(self, turn: Turn) -> Deltas:
        """The answer of a server that holds it to the form, as it comes. One that is no JSON from its first
        character on was not held, and waits."""
        answer = _Streamed(_beginnings(turn))
        try:
            async with aclosing(self._ask(turn)) as deltas:
                async for batch in deltas:
                    if passed := answer.take(batch):
                        yield passed
        except Overrated:
            if answer.started or not _needs_help(turn, self._can(turn.model)):
                raise
        if answer.ended:
            found, fault = await self._judged(turn, answer)
            if not fault:
                yield answer.rest(found)
                return
            if answer.live:
                yield answer.held.cost
                raise ModelFault(f"The model's answer did not fit its schema: {fault}")
            turn = replace(turn, messages=(*turn.messages, *_correction(answer.held.text, fault)))
        async with aclosing(self._asked_in_words(turn, answer.held)) as deltas:
            async for batch in deltas:
                yield batch

    async def _judged(self, turn: Turn, answer: "_Streamed") -> tuple[str | None, str]:
        """The JSON that is meant, where that is not all of the text, and what is wrong with it."""
        if not _is_promised(turn) and (answer.live or is_json(answer.text)):
            return None, ""
        return await self._read(turn, answer.held, answer.text)

    async def _read(self, turn: Turn, answer: "_Held", text: str) -> tuple[str | None, str]:
        """The same of an answer that may have been given as reasoning, with no text: some servers take a
        model that is held to a form for one that still thinks."""
        if answer.passes:
            return None, ""
        form = self._form(turn)
        found, fault = await form.read(text)
        if fault and not text.strip() and is_json(answer.thought):
            found, elsewhere = await form.read(answer.thought)
            fault = elsewhere and fault
        return found, fault

    async def _asked_in_words(self, turn: Turn, answer: "_Held | None" = None) -> Deltas:
        """The answer of a model that is asked in words. `answer` is one that did not fit."""
        asked = turn
        turn = _instructed(turn, self._can(turn.model))
        fault = ""
        for _ in range(REPAIRS + 1):
            answer = _Held(answer)
            async with aclosing(self._ask(turn)) as deltas:
                async for batch in deltas:
                    if passed := answer.take(batch):
                        yield passed
            found, fault = await self._read(asked, answer, answer.text)
            if not fault:
                yield answer.rest(found)
                return
            turn = replace(turn, messages=(*turn.messages, *_correction(answer.text, fault)))
        yield answer.cost if answer else ()
        raise ModelFault(f"The model's answer did not fit its schema, {REPAIRS + 1} times: {fault}")

    def _form(self, turn: Turn) -> "_Form":
        return _Form(self._schema(turn.format.schema) if isinstance(turn.format, JsonSchema) else None)


def _needs_help(turn: Turn, can: Capabilities) -> bool:
    """Whether the model cannot be held to the form of its answer."""
    return not (can.json_schema if isinstance(turn.format, JsonSchema) else can.json_object)


def _is_promised(turn: Turn) -> bool:
    """Whether what a server streams must fit: a schema that is not strict is a wish."""
    return turn.format.strict if isinstance(turn.format, JsonSchema) else True


def _beginnings(turn: Turn) -> Collection[str]:
    """Characters with which an answer begins that may be passed on as it comes. Where nobody reads along
    there is time to look at it first."""
    if turn.whole:
        return ()
    kind = turn.format.schema.get("type") if isinstance(turn.format, JsonSchema) else "object"
    return ("{",) if kind == "object" else ("{", "[")


class _Streamed:
    """An answer that is passed on as it comes, once it begins as JSON does, up to where the JSON ends."""

    def __init__(self, beginnings: Collection[str]) -> None:
        self._beginnings = beginnings
        self._end: JsonEnd | None = JsonEnd()
        self.held = _Held(None)
        self.live = False
        self.started = False
        """Whether the server accepted the turn."""
        self.ended = False
        self._texts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._texts) if self.live else self.held.text

    def take(self, batch: Sequence[Delta]) -> Sequence[Delta]:
        """Take a batch; what of it is passed on now."""
        self.started = True
        self.ended = self.ended or any(isinstance(delta, Finished) for delta in batch)
        passed = [*self.held.take(batch)]
        if self.live or self.held.text.lstrip()[:1] in self._beginnings:
            self.live = True
            texts = self._inside(self.held.take_texts())
            self._texts += (delta.text for delta in texts)
            passed += (*texts, *self.held.take_notes())
        return passed

    def _inside(self, texts: Sequence[TextDelta]) -> Sequence[TextDelta]:
        """What of the texts is JSON: some models go on talking behind it."""
        found: list[TextDelta] = []
        for delta in texts:
            if self._end is not None:
                end = self._end.find(delta.text)
                found.append(delta if end is None else replace(delta, text=delta.text[:end]))
                self._end = self._end if end is None else None
        return found

    def rest(self, text: str | None) -> Sequence[Delta]:
        """What was not passed on yet, and the end."""
        return self.held.rest(None if self.live else text)


class _Held:
    """An answer whose text waits until it is whole; all else is passed on."""

    def __init__(self, before: "_Held | None") -> None:
        """`before` is the answer that did not fit."""
        self.usage: UsageDelta = before.usage if before else UsageDelta(0, 0)
        self.reasoned: bool = before.reasoned if before else False
        self.passes = False
        """It is not for us to judge: a call, a refusal, or cut short."""
        self._again = self.reasoned
        self._spent = self.usage
        self._texts: list[TextDelta] = []
        self._notes: list[Delta] = []
        """What is said of the text."""
        self._thoughts: list[str] = []
        self._end: list[Delta] = []
        self._has_usage = False

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self._texts)

    @property
    def cost(self) -> Sequence[Delta]:
        """The tokens of all answers so far, where they are known."""
        return [self.usage] if self._has_usage else ()

    @property
    def thought(self) -> str:
        """The reasoning of this answer."""
        return "".join(self._thoughts)

    def take_texts(self) -> list[TextDelta]:
        """The text so far, which need not wait any longer."""
        texts, self._texts = self._texts, []
        return texts

    def take_notes(self) -> list[Delta]:
        """What is said of it, which waits as long."""
        notes, self._notes = self._notes, []
        return notes

    def take(self, batch: Sequence[Delta]) -> Sequence[Delta]:
        """Take a batch; what of it is passed on now."""
        passed: list[Delta] = []
        for delta in single(batch):
            if isinstance(delta, TextDelta):
                self._texts.append(delta)
            elif isinstance(delta, AnnotationDelta):
                self._notes.append(delta)
            elif isinstance(delta, UsageDelta):
                self.usage, self._has_usage = self._spent.plus(delta), True
            elif isinstance(delta, Finished):
                self.passes |= delta.reason in ("length", "content_filter")
                self._end.append(delta)
            else:
                passed += (*self._before(delta), delta)
        return passed

    def _before(self, delta: Delta) -> Sequence[Delta]:
        """What comes before a delta that is passed on."""
        if isinstance(delta, ReasoningDelta):
            self._thoughts.append(delta.text)
            again, self._again, self.reasoned = self._again, False, True
            return [ReasoningDelta("\n\n")] if again else ()
        if isinstance(delta, HostedStarted):  # what is said before is no answer, and the answer comes
            return (*self.take_texts(), *self.take_notes())
        if not isinstance(delta, CallStarted | RefusalDelta):
            return ()
        # What the model says before a call is no answer yet.
        self.passes = True
        return (*self.take_texts(), *self.take_notes())

    def rest(self, text: str | None) -> Sequence[Delta]:
        """The text, as it came or as `text`, and the end."""
        same = text in (None, self.text)
        said = (*self._texts, *self._notes) if same else (TextDelta(text or ""),)
        return [*said, *self.cost, *self._end]


class _Form:
    """What the answer must be."""

    def __init__(self, schema: Schema | None) -> None:
        """Without a schema it must be any JSON object."""
        self._schema = schema

    async def read(self, text: str) -> tuple[str | None, str]:
        """The JSON in a text, and what is wrong with it; nothing when that is empty."""
        for candidate in _candidates(text):
            try:
                value = msgspec.json.decode(candidate)
            except (msgspec.DecodeError, RecursionError):
                continue
            return candidate, await self._fault(value, candidate)
        return None, "it is not JSON"

    async def _fault(self, value: Any, text: str) -> str:
        if self._schema is None:
            return "" if isinstance(value, dict) else "it is not a JSON object"
        return await self._schema.fault_of(value, text, "answer") or ""


def _candidates(text: str) -> Iterator[str]:
    """What may be meant as the answer: all of it, what stands in a fence, an object among words."""
    yield text.strip()
    _, fence, fenced = text.partition("```")
    if fence:
        yield fenced.partition("```")[0].removeprefix("json").strip()
    start, end = text.find("{"), text.rfind("}")
    if 0 <= start < end:
        yield text[start : end + 1]
        yield text[start : start + (JsonEnd().find(text[start:]) or 0)]


def _instructed(turn: Turn, can: Capabilities) -> Turn:
    """The turn, with the form of its answer in words behind the instructions."""
    words = "Answer with JSON alone: no other words, no code fence. "
    if isinstance(turn.format, JsonSchema):
        about = f" ({turn.format.description})" if turn.format.description else ""
        words += f"It must fit this JSON schema{about}:\n{encode(turn.format.schema).decode()}"
    else:
        words += "It must be one JSON object."
    instruction = Message("system", parts=(TextPart(words),))
    count = leading(turn.messages)
    messages = (*turn.messages[:count], instruction, *turn.messages[count:])
    return replace(turn, messages=messages, format="json_object" if can.json_object else "text")


def _correction(text: str, fault: str) -> Sequence[Message]:
    words = f"This answer does not fit: {fault}. Answer again, with the JSON alone."
    return (
        Message("assistant", parts=(TextPart(text),)),
        Message("user", parts=(TextPart(words),)),
    )
