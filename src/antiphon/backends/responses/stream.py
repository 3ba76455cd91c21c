"""What a server says that speaks the Responses API, as deltas: no id, index or number of its own is kept.

What came in pieces is not read again when it comes whole, and what never came in pieces is read where it is
whole: in its item, or in the response. Items of tools that the server runs itself are left out, unless it is
asked to run them.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from antiphon.backends.calls import Calls
from antiphon.backends.chat_chunk import CallPiece, FunctionPiece
from antiphon.backends.event_reader import TEXT, THOUGHT, EventReader, nothing_said
from antiphon.backends.image_answers import tokens
from antiphon.backends.placed import noted
from antiphon.backends.responses.annotations import annotation_of
from antiphon.backends.responses.events import HALVES, Event, Item, Part, Response, Usage, decode
from antiphon.backends.responses.hosted import HostedCalls
from antiphon.backends.tokens import Token, scored
from antiphon.backends.upstream_errors import from_stream, words_in
from antiphon.backends.usage import tier_in
from antiphon.model import (
    AnnotationDelta,
    CacheWrites,
    Delta,
    Finished,
    OpaqueDelta,
    PicturesDelta,
    ReasoningDelta,
    RefusalDelta,
    SummaryDelta,
    TextDelta,
    UsageDelta,
)
from antiphon.protocol.content import Logprob
from antiphon.protocol.errors import UpstreamError

REASONING = "reasoning_items"
"""The member of what goes back as it came that has reasoning items."""
_MESSAGE, _REASONING, _CALL = "message", "reasoning", "function_call"
_BLANK_LINE = "\n\n"
_TEXT_DELTA = "response.output_text.delta"
_REASONS: dict[str, Any] = {"max_output_tokens": "length", "content_filter": "content_filter"}
_ENDS = {f"response.{end}": end for end in ("completed", "incomplete", "failed", "cancelled")}
"""What ends a response, and its status then."""
_Key = str | int | None
"""Of an item: its id; its index, where events have no ids."""


class ResponsesReader(EventReader[Event]):
    """Reads one answer. `names`: the functions on offer; `top`: how many alternatives of each token were
    asked for; `most`: tokens that the answer may have, for servers that do not say that it was cut there;
    `hosted`: the tools that the server is to run."""

    def __init__(
        self,
        names: frozenset[str] = frozenset(),
        *,
        top: int | None = None,
        most: int | None = None,
        hosted: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(Event, decode, HALVES)
        self._top = top
        self._most = most
        self._calls = Calls(names)
        self._key: _Key = ""
        """The item of the last piece of text."""
        self._told: set[_Key] = set()
        """Items of text of which something was passed on."""
        self._begun: Counter[str] = Counter()
        """The same, counted by type."""
        self._last = ""
        """The type of the newest of them."""
        self._ended: Counter[str] = Counter()
        """Those that came whole. Some servers give an item several ids, or none: they end in order."""
        self._numbers: dict[_Key, int] = {}
        """Of calls."""
        self._written: set[int] = set()
        """Calls whose arguments came."""
        self._hosted = HostedCalls(hosted)
        self._length = 0
        """Characters of the message so far."""
        self._before = 0
        """Those before the text that is written."""
        self._annotated = 0
        """Annotations of that text."""
        self._parts = 0
        """Parts of summaries so far."""
        self._part = -1
        self._usage: Usage | None = None
        self._response: Response | None = None
        self._is_incomplete = False
        self._words = ""
        """What the upstream said beside its answer."""
        self._scored = False
        self.seals = False
        """Whether reasoning came sealed."""
        self.shows = False
        """Whether reasoning came as it is, and not sealed."""

    @property
    def gave_logprobs(self) -> bool | None:
        """Whether the logprobs came that were asked for; None: that says nothing."""
        if self._top is None or not self.ended:
            return None
        return True if self._scored else False if self._begun[_MESSAGE] else None

    # ---- events ----

    def _take(self, event: Event, raw: bytes, out: list[Delta]) -> None:
        kind = event.type
        if kind == _TEXT_DELTA:
            self._on_text(event, out)
        elif event.error or kind == "error":
            raise from_stream(raw)
        elif self._hosted.are_told_by(kind):
            self._hosted.on_event(event, partial(msgspec.json.decode, raw), out)
            self._last = ""
        elif event.item is not None:
            self._on_item(event.item, event, raw, out)
        elif event.response is not None or kind in _ENDS:
            self._on_response(event.response or Response(), _ENDS.get(kind), raw, out)
        elif event.delta is not None:
            self._on_piece(event, out)
        elif kind:
            self._on_mark(event, out)
        else:
            self._on_object(event, raw, out)

    def _on_mark(self, event: Event, out: list[Delta]) -> None:
        """What is neither a piece nor an item."""
        if event.annotation is not None:
            self._annotate((event.annotation,), out)
        elif event.type == "response.content_part.added":
            self._before, self._annotated = self._length, 0
        elif event.type == "response.function_call_arguments.done":
            self._on_arguments(event, out)

    def _on_object(self, event: Event, raw: bytes, out: list[Delta]) -> None:
        """What is no event: the whole response, or words."""
        if event.output is not None or event.status in _ENDS.values():
            whole = Response(
                event.status,
                event.output,
                event.usage,
                incomplete_details=event.incomplete_details,
                tool_usage=event.tool_usage,
                service_tier=event.service_tier,
            )
            self._on_response(whole, "completed", raw, out)
        else:
            self._words = words_in(raw) or self._words

    def _on_text(self, event: Event, out: list[Delta]) -> None:
        key = event.output_index if event.item_id is None else event.item_id
        if key != self._key:
            self._begin(key, _MESSAGE, out)
            self._key = key
        text = event.delta or ""
        if self._odd:
            text = self._joined(TEXT, text)
        if text:
            self._length += len(text)
            out.append(TextDelta(text, self._logprobs(event.logprobs) if event.logprobs else ()))

    def _annotate(self, given: Sequence[Any], out: list[Delta]) -> None:
        """More annotations of the text that is written."""
        self._annotated += len(given)
        found = (annotation_of(each, self._before) for each in given)
        out += (AnnotationDelta(each) for each in found if each is not None)

    def _on_piece(self, event: Event, out: list[Delta]) -> None:
        """A piece of anything but text."""
        delta = event.delta or ""
        key = event.output_index if event.item_id is None else event.item_id
        match event.type:
            case "response.refusal.delta":
                self._begin(key, _MESSAGE, out)
                out.append(RefusalDelta(delta))
            case "response.reasoning_text.delta" | "response.reasoning.delta":
                self._begin(key, _REASONING, out)
                self.shows = True
                out.append(ReasoningDelta(self._joined(THOUGHT, delta) if self._odd else delta))
            case "response.reasoning_summary_text.delta":
                self._begin(key, _REASONING, out)
                self._summary(event.summary_index or 0, delta, out)
            case "response.function_call_arguments.delta":
                text = self._joined("call", delta) if self._odd else delta
                self._arguments(self._number(event), text, out)

    def _summary(self, part: int, text: str, out: list[Delta]) -> None:
        """Parts are counted in each item from 0: here they go on."""
        self._part = part
        out.append(SummaryDelta(text, self._parts + part))

    # ---- calls ----

    def _on_arguments(self, event: Event, out: list[Delta]) -> None:
        """Arguments that are whole."""
        number = self._number(event)
        if number not in self._written and event.arguments:
            self._arguments(number, event.arguments, out)

    def _arguments(self, number: int, arguments: str | dict[str, Any], out: list[Delta]) -> None:
        if arguments:
            self._written.add(number)
            self._calls.feed(CallPiece(FunctionPiece(arguments=arguments), number), out)

    def _number(self, event: Event, item: Item | None = None) -> int:
        """Of the call of an event: the last one, where nothing says which."""
        names = ((item and item.id) or event.item_id, event.output_index)
        known = (self._numbers[name] for name in names if name is not None and name in self._numbers)
        return next(known, max(self._begun[_CALL] - 1, 0))

    def _on_call(self, item: Item, event: Event, out: list[Delta]) -> None:
        """A call, as it begins, or whole."""
        done = not event.type.endswith(".added")
        number = self._number(event, item)
        if not done or self._ended[_CALL] >= self._begun[_CALL]:
            number = self._begun[_CALL]
            self._count(_CALL, out)
            names = (item.id, event.output_index)
            self._numbers |= {name: number for name in names if name is not None}
            piece = FunctionPiece(name=item.name or "")
            self._calls.feed(CallPiece(piece, number, item.call_id or item.id), out)
        if done:
            self._ended[_CALL] += 1
            if number not in self._written:
                self._arguments(number, item.arguments or "{}", out)

    # ---- items ----

    def _begin(self, key: _Key, kind: str, out: list[Delta]) -> None:
        if key not in self._told:
            self._told.add(key)
            self._count(kind, out)

    def _count(self, kind: str, out: list[Delta]) -> None:
        """An item begins to be passed on. Messages that follow each other are thoughts of their own."""
        if kind == _MESSAGE:
            self._length = self._length + len(_BLANK_LINE) if self._last == _MESSAGE else 0
            self._before, self._annotated = self._length, 0
            if self._last == _MESSAGE:
                out.append(TextDelta(_BLANK_LINE))
        self._last = kind
        self._begun[kind] += 1

    def _on_item(self, item: Item, event: Event, raw: bytes, out: list[Delta]) -> None:
        if item.type == _CALL:
            self._on_call(item, event, out)
        elif self._hosted.have(item):
            self._on_hosted(item, event, lambda: msgspec.json.decode(raw)["item"], out)
        elif event.type.endswith(".done"):
            self._on_whole(item, lambda: msgspec.json.decode(raw)["item"], out)

    def _on_hosted(self, item: Item, event: Event, members: Callable[[], Any], out: list[Delta]) -> None:
        self._hosted.on_item(item, event, members, out)
        self._last = ""

    def _on_whole(self, item: Item, members: Callable[[], Any], out: list[Delta]) -> None:
        """An item of text, whole; of what the server's own tools did, nothing. `members` are all that it
        has."""
        if item.type not in (_MESSAGE, _REASONING):
            return
        self._ended[item.type] += 1
        unsaid = self._ended[item.type] > self._begun[item.type]
        if unsaid and (item.type == _MESSAGE or _shows_thoughts(item)):
            self._count(item.type, out)
        elif unsaid:
            self._begun[item.type] += 1  # nothing of it stands between what was said and what follows
        if item.type == _REASONING:
            if unsaid:
                self._on_thoughts(item, out)
            self._on_sealed(item, members, out)
        elif unsaid:
            self._on_parts(item.content or (), out)
        elif self._last == _MESSAGE and item.content:
            self._annotate(_annotations(item.content[-1])[self._annotated :], out)

    def _on_parts(self, parts: Sequence[Part], out: list[Delta]) -> None:
        for part in parts:
            if part.refusal:
                out.append(RefusalDelta(part.refusal))
            elif part.text:
                text = self._joined(TEXT, part.text) if self._odd else part.text
                self._before, self._annotated = self._length, 0
                self._length += len(text)
                out.append(TextDelta(text, self._logprobs(part.logprobs) if part.logprobs else ()))
                self._annotate(_annotations(part), out)

    def _on_sealed(self, item: Item, members: Callable[[], Any], out: list[Delta]) -> None:
        """The end of reasoning, and what goes back of it."""
        self._parts += self._part + 1
        self._part = -1
        if item.encrypted_content:
            self.seals = True
            sealed = _sealed(members, item)
            said = self._begun[_MESSAGE] + self._hosted.said
            out.append(OpaqueDelta({REASONING: [noted(sealed, said, self._begun[_CALL])]}))

    def _on_thoughts(self, item: Item, out: list[Delta]) -> None:
        """Reasoning that came whole: its text; its summary where it has none."""
        if text := "".join(part.text or "" for part in item.content or ()):
            self.shows = True
            out.append(ReasoningDelta(text))
            return
        for number, part in enumerate(item.summary or ()):
            self._summary(number, part.text or "", out)

    # ---- the response ----

    def _on_response(self, response: Response, status: str | None, raw: bytes, out: list[Delta]) -> None:
        """The response, with the status that it has if it does not say so."""
        status = response.status or status
        if status not in _ENDS.values():
            return
        if status == "failed" or response.error:
            error = response.error or {"message": "it failed without a reason"}
            raise from_stream(msgspec.json.encode({"error": error}))
        if status == "cancelled":
            raise UpstreamError("The upstream cancelled its answer.")
        self._is_incomplete = status == "incomplete"
        self._response, self._usage = response, response.usage
        self._on_rest(response.output or (), raw, out)
        self._end(out)

    def _on_rest(self, output: Sequence[Item], raw: bytes, out: list[Delta]) -> None:
        """Items that did not come whole before."""
        counted: Counter[str] = Counter()
        ended = self._ended + self._hosted.ended
        for at, item in enumerate(output):
            counted[item.type] += 1
            if counted[item.type] <= ended[item.type]:
                continue
            if item.type == _CALL:
                self._on_call(item, Event(output_index=at), out)
            elif self._hosted.have(item):
                self._on_hosted(item, Event(output_index=at), partial(_item_at, raw, at), out)
            else:
                self._on_whole(item, partial(_item_at, raw, at), out)

    @property
    def _is_over(self) -> bool:
        return self._response is not None

    def _finish(self, out: list[Delta]) -> None:
        self._calls.finish(out)
        response = self._response or Response()
        if not (self._said or out) and not response.output and self._usage is None:
            raise nothing_said(self._words)
        if self._usage is not None:
            out.append(_cost(self._usage, tier_in(response.service_tier)))
        out += _pictures(response.tool_usage)
        out.append(self._finished(response))

    def _finished(self, response: Response) -> Finished:
        if self._is_incomplete:
            reason = response.incomplete_details.reason if response.incomplete_details else None
            return Finished(_REASONS.get(reason or "", "length"))
        written = self._usage.output_tokens if self._usage else None
        if self._most is not None and written is not None and written >= self._most:
            return Finished("length")
        return Finished("calls" if self._calls else "stop")

    def _logprobs(self, tokens: Sequence[Token]) -> tuple[Logprob, ...]:
        if self._top is None:
            return ()
        self._scored = True
        return scored(tokens, self._top)


def _item_at(raw: bytes, at: int) -> Any:
    """An item of a response, with all its members."""
    whole = msgspec.json.decode(raw)
    return (whole.get("response") or whole)["output"][at]


def _sealed(members: Callable[[], Any], item: Item) -> dict[str, Any]:
    """A reasoning item with all its members, as the server wants it back."""
    try:
        found = members()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = msgspec.to_builtins(item)
    kept: dict[str, Any] = {name: value for name, value in found.items() if value is not None}
    return {"summary": [], **kept}


def _shows_thoughts(item: Item) -> bool:
    return any(part.text for part in (*(item.content or ()), *(item.summary or ())))


def _annotations(part: Part) -> list[Any]:
    return part.annotations if isinstance(part.annotations, list) else []


def _pictures(tool_usage: Any) -> Iterator[PicturesDelta]:
    """What pictures took, if any were made."""
    took = tokens({"usage": tool_usage.get("image_gen")}) if isinstance(tool_usage, dict) else None
    if took is not None and (took.total or took.output):
        yield PicturesDelta(took)


def _cost(usage: Usage, tier: str | None) -> UsageDelta:
    read, wrote = usage.input_tokens_details, usage.output_tokens_details
    writes = read.cache_write_tokens_details if read else None
    return UsageDelta(
        usage.input_tokens or 0,
        usage.output_tokens or 0,
        (read.cached_tokens if read else None) or 0,
        (wrote.reasoning_tokens if wrote else None) or 0,
        (read.cache_write_tokens if read else None) or 0,
        CacheWrites(writes.ttl_30m_tokens or 0, writes.ttl_12h_tokens or 0) if writes else None,
        tier,
    )
