"""What a server says that speaks the Responses API, as deltas: no id, index or number of its own is kept.

What was told in pieces is not told again when it comes whole, and what never came in pieces is read where it
stands whole: in its item, or in the response. Items of tools that the server runs itself are left out.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from antiphon.backends.calls import Calls
from antiphon.backends.chat_chunk import CallPiece, FunctionPiece
from antiphon.backends.event_reader import TEXT, THOUGHT, EventReader
from antiphon.backends.placed import noted
from antiphon.backends.responses.events import HALVES, Event, Item, Part, Response, Token, Usage, decode
from antiphon.backends.upstream_errors import from_stream, words_in
from antiphon.model import (
    CacheWrites,
    Delta,
    Finished,
    OpaqueDelta,
    ReasoningDelta,
    RefusalDelta,
    SummaryDelta,
    TextDelta,
    UsageDelta,
)
from antiphon.protocol.content import Logprob, TopLogprob
from antiphon.protocol.errors import UpstreamError

REASONING = "reasoning_items"
"""The member of what goes back as it came that has reasoning items."""
_TEXT_DELTA = "response.output_text.delta"
_REASONS: dict[str, Any] = {"max_output_tokens": "length", "content_filter": "content_filter"}
_ENDS = {f"response.{end}": end for end in ("completed", "incomplete", "failed", "cancelled")}
"""What ends a response, and its status then."""
_Key = str | int | None
"""Of an item: its id; its index, where events have no ids."""


class ResponsesReader(EventReader[Event]):
    """Reads one answer. `names`: the functions on offer; `top`: how many alternatives of each token were
    asked for; `phrases`: how the server says that a context is too long; `most`: tokens that the answer may
    have, for servers that do not say that it was cut there."""

    def __init__(
        self,
        names: frozenset[str] = frozenset(),
        *,
        top: int | None = None,
        phrases: tuple[str, ...] = (),
        most: int | None = None,
    ) -> None:
        super().__init__(Event, decode, HALVES)
        self._phrases = phrases
        self._top = top
        self._most = most
        self._calls = Calls(names)
        self._key: _Key = ""
        """The item of the last piece of text."""
        self._told: dict[_Key, str] = {}
        """Items of which something was told, with their types."""
        self._begun: Counter[str] = Counter()
        """How many items of each type there were."""
        self._numbers: dict[_Key, int] = {}
        """Of calls."""
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
        return True if self._scored else False if self._begun["message"] else None

    # ---- events ----

    def _take(self, event: Event, raw: bytes, out: list[Delta]) -> None:
        kind = event.type
        if kind == _TEXT_DELTA:
            self._on_text(event, out)
        elif event.error or kind == "error":
            raise from_stream(raw, self._phrases)
        elif event.item is not None:
            self._on_item(event.item, self._place(event, event.item), raw, out, done=kind.endswith(".done"))
        elif event.response is not None or kind in _ENDS:
            self._on_response(event.response or Response(), _ENDS.get(kind), out)
        elif event.delta is not None:
            self._on_piece(event, out)
        elif kind == "response.function_call_arguments.done":
            self._on_arguments(event, out)
        elif event.output is not None or event.status in _ENDS.values():
            whole = Response(event.status, event.output, event.usage, None, event.incomplete_details)
            self._on_response(whole, "completed", out)
        elif not kind:
            self._words = words_in(raw) or self._words

    def _on_text(self, event: Event, out: list[Delta]) -> None:
        key = event.output_index if event.item_id is None else event.item_id
        if key != self._key:
            self._begin(key, "message")
            self._key = key
        text = event.delta or ""
        if self._odd:
            text = self._joined(TEXT, text)
        if text:
            out.append(TextDelta(text, self._logprobs(event.logprobs) if event.logprobs else ()))

    def _on_piece(self, event: Event, out: list[Delta]) -> None:
        """A piece of anything but text."""
        delta = event.delta or ""
        key = self._place(event)
        match event.type:
            case "response.refusal.delta":
                self._begin(key, "message")
                out.append(RefusalDelta(delta))
            case "response.reasoning_text.delta" | "response.reasoning.delta":
                self._begin(key, "reasoning")
                self.shows = True
                out.append(ReasoningDelta(self._joined(THOUGHT, delta) if self._odd else delta))
            case "response.reasoning_summary_text.delta":
                self._begin(key, "reasoning")
                self._summary(event.summary_index or 0, delta, out)
            case "response.function_call_arguments.delta":
                self._arguments(key, delta, out)

    def _summary(self, part: int, text: str, out: list[Delta]) -> None:
        """Parts are counted in each item from 0: here they go on."""
        self._part = part
        out.append(SummaryDelta(text, self._parts + part))

    def _on_arguments(self, event: Event, out: list[Delta]) -> None:
        """Arguments that are whole."""
        key = self._place(event)
        if self._told.get(key) != "arguments" and event.arguments:
            self._feed(key, FunctionPiece(arguments=event.arguments), out)

    def _arguments(self, key: _Key, text: str, out: list[Delta]) -> None:
        if text:
            self._feed(key, FunctionPiece(arguments=self._joined("call", text) if self._odd else text), out)

    def _feed(self, key: _Key, piece: FunctionPiece, out: list[Delta], call_id: str | None = None) -> None:
        """A piece of a call; of the last one, where nothing says of which."""
        number = self._numbers.get(key, len(self._numbers) - 1)
        if piece.arguments:
            self._told[key] = "arguments"
        self._calls.feed(CallPiece(piece, max(number, 0), call_id), out)

    # ---- items ----

    def _place(self, event: Event, item: Item | None = None) -> _Key:
        key = (item and item.id) or event.item_id
        return event.output_index if key is None else key

    def _begin(self, key: _Key, kind: str) -> bool:
        """Whether it is new."""
        if key in self._told:
            return False
        self._told[key] = kind
        self._begun[kind] += 1
        return True

    def _on_item(self, item: Item, key: _Key, raw: bytes, out: list[Delta], *, done: bool) -> None:
        if item.type == "function_call":
            self._on_call(item, key, out, done=done)
        elif done and item.type == "message":
            if self._begin(key, "message"):
                self._on_parts(item.content or (), out)
        elif done and item.type == "reasoning":
            self._on_reasoning(item, key, raw, out)

    def _on_call(self, item: Item, key: _Key, out: list[Delta], *, done: bool) -> None:
        if key not in self._numbers:
            self._begun["function_call"] += 1
            self._numbers[key] = len(self._numbers)
            self._feed(key, FunctionPiece(name=item.name or ""), out, item.call_id or item.id)
        if done and self._told.get(key) != "arguments":
            self._feed(key, FunctionPiece(arguments=item.arguments or "{}"), out)

    def _on_parts(self, parts: Sequence[Part], out: list[Delta]) -> None:
        for part in parts:
            if part.refusal:
                out.append(RefusalDelta(part.refusal))
            elif part.text:
                text = self._joined(TEXT, part.text) if self._odd else part.text
                out.append(TextDelta(text, self._logprobs(part.logprobs) if part.logprobs else ()))

    def _on_reasoning(self, item: Item, key: _Key, raw: bytes, out: list[Delta]) -> None:
        if self._begin(key, "reasoning"):
            self._on_thoughts(item, out)
        self._parts += self._part + 1
        self._part = -1
        if item.encrypted_content:
            self.seals = True
            sealed = _sealed(raw, item)
            texts, calls = self._begun["message"], self._begun["function_call"]
            out.append(OpaqueDelta({REASONING: [noted(sealed, texts, calls)]}))

    def _on_thoughts(self, item: Item, out: list[Delta]) -> None:
        """Reasoning that came whole: its text; its summary where it has none."""
        if text := "".join(part.text or "" for part in item.content or ()):
            self.shows = True
            out.append(ReasoningDelta(text))
            return
        for number, part in enumerate(item.summary or ()):
            self._summary(number, part.text or "", out)

    # ---- the response ----

    def _on_response(self, response: Response, status: str | None, out: list[Delta]) -> None:
        """The response, with the status that it has if it does not say so."""
        status = response.status or status
        if status not in _ENDS.values():
            return
        if status == "failed" or response.error:
            error = response.error or {"message": "it failed without a reason"}
            raise from_stream(msgspec.json.encode({"error": error}), self._phrases)
        if status == "cancelled":
            raise UpstreamError("The upstream cancelled its answer.")
        self._is_incomplete = status == "incomplete"
        self._response, self._usage = response, response.usage
        for number, item in enumerate(self._untold(response.output or ())):
            raw = msgspec.json.encode({"item": item})
            self._on_item(item, f"untold {number}", raw, out, done=True)
        self._end(out)

    def _untold(self, output: Sequence[Item]) -> list[Item]:
        """Items of which nothing was told. Some servers give their items other ids at the end, so they are
        counted."""
        counted: Counter[str] = Counter()
        found = []
        for item in output:
            counted[item.type] += 1
            if counted[item.type] > self._begun[item.type]:
                found.append(item)
        return found

    @property
    def _is_over(self) -> bool:
        return self._response is not None

    def _finish(self, out: list[Delta]) -> None:
        self._calls.finish(out)
        response = self._response or Response()
        if not (self._said or out) and not response.output and self._usage is None:
            raise self._nothing(self._words)
        if self._usage is not None:
            out.append(_cost(self._usage))
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
        return tuple(
            Logprob(
                token=each.token,
                bytes=_bytes(each.token, each.bytes),
                logprob=each.logprob or 0.0,
                top_logprobs=[
                    TopLogprob(token=t.token, bytes=_bytes(t.token, t.bytes), logprob=t.logprob or 0.0)
                    for t in (each.top_logprobs or ())[: self._top]
                ],
            )
            for each in tokens
        )


def _bytes(token: str, given: list[int] | None) -> list[int]:
    return list(token.encode(errors="replace")) if given is None else given


def _sealed(raw: bytes, item: Item) -> dict[str, Any]:
    """A reasoning item with all its members, as the server wants it back."""
    try:
        found = msgspec.json.decode(raw)["item"]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = msgspec.to_builtins(item)
    kept: dict[str, Any] = {name: value for name, value in found.items() if value is not None}
    return {"summary": [], **kept}


def _cost(usage: Usage) -> UsageDelta:
    read, wrote = usage.input_tokens_details, usage.output_tokens_details
    writes = read.cache_write_tokens_details if read else None
    return UsageDelta(
        usage.input_tokens or 0,
        usage.output_tokens or 0,
        (read.cached_tokens if read else None) or 0,
        (wrote.reasoning_tokens if wrote else None) or 0,
        (read.cache_write_tokens if read else None) or 0,
        CacheWrites(writes.ttl_30m_tokens or 0, writes.ttl_12h_tokens or 0) if writes else None,
    )
