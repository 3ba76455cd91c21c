"""What a Messages server says, event by event, as deltas. The hot path: every token passes here."""

from typing import Any

import msgspec
from msgspec.structs import asdict

from antiphon.backends.anthropic.blocks import OpenBlock
from antiphon.backends.anthropic.events import HALVES, Answer, Block, Event, Piece, StopDetails, Usage, decode
from antiphon.backends.calls import Calls
from antiphon.backends.chat_chunk import CallPiece, FunctionPiece
from antiphon.backends.endings import end_of, finished, gave_up
from antiphon.backends.event_reader import TEXT, THOUGHT, EventReader, nothing_said
from antiphon.backends.placed import noted
from antiphon.backends.upstream_errors import from_stream, words_in
from antiphon.backends.usage import merged
from antiphon.model import (
    CacheWrites,
    Delta,
    Finished,
    OpaqueDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    UsageDelta,
)
from antiphon.model.json_text import read_json
from antiphon.protocol.wire import JsonObject

THINKING = "thinking_blocks"
"""The member of what goes back as it came that has blocks of thinking."""
PAUSED = "pause_turn"
_DECLINED = "The model declined to answer."
_NO_USAGE = Usage()
_LATER = 1 << 20
"""Indexes of blocks behind a pause begin again: this far behind those before it."""


class MessagesReader(EventReader[Event]):
    """Reads one answer. `names`: the functions on offer."""

    def __init__(self, names: frozenset[str] = frozenset()) -> None:
        super().__init__(Event, decode, HALVES)
        self._calls = Calls(names)
        self._blocks: list[OpenBlock] = []
        self._block = OpenBlock(None, {})
        """The one that the last piece belonged to."""
        self.pauses = 0
        self._usage = Usage()
        self._spent: UsageDelta | None = None
        """What the answers before a pause cost."""
        self._reason = ""
        self._details: StopDetails | None = None
        self._words = ""
        """What the upstream said beside its answer."""
        self.signs: bool | None = None
        """Whether thoughts come with signatures; None: none came."""

    # ---- a pause ----

    @property
    def paused(self) -> bool:
        """Whether the server waits for its own words, to go on with them."""
        return self.ended and self._reason == PAUSED

    def resumed(self) -> list[JsonObject]:
        """All blocks so far: the answer goes on behind them, in a response of its own."""
        so_far = [block.whole() for block in self._blocks]
        self._spent = self._cost()
        self._usage, self._reason, self.ended = Usage(), "", False
        self.pauses += 1
        return so_far

    # ---- events ----

    def _take(self, event: Event, raw: bytes, out: list[Delta]) -> None:
        piece = event.delta
        if piece is not None:
            if piece.text is not None:
                self._on_text(piece.text, event.index, out)
                return
            if event.usage is None and piece.stop_reason is None:
                self._on_piece(piece, event.index, out)
                return
            self._on_reason(piece)
        if event.error:
            raise from_stream(raw)
        if event.usage is not None:
            self._usage = merged(self._usage, event.usage)
        self._take_frame(event, raw, out)

    def _take_frame(self, event: Event, raw: bytes, out: list[Delta]) -> None:
        """What stands around the pieces: where the message and its blocks begin and end."""
        if event.content_block is not None:
            self._on_block(event.content_block, event.index, raw, out)
        elif event.message is not None:
            self._on_message(event.message, raw, out)
        elif event.content is not None or event.stop_reason is not None:
            self._on_message(Answer(event.content, None, event.stop_reason, event.stop_details), raw, out)
        elif event.type == "content_block_stop":
            self._close(self._find(event.index), out)
        elif event.type == "message_stop":
            self._end(out)
        elif not event.type:
            self._words = words_in(raw) or self._words

    def _on_text(self, text: str, index: int | None, out: list[Delta]) -> None:
        block = self._block
        if index != block.index:
            block = self._find(index)
        if self._odd:
            text = self._joined(TEXT, text)
        if text:
            block.pieces.append(text)
            out.append(TextDelta(text))

    def _on_piece(self, piece: Piece, index: int | None, out: list[Delta]) -> None:
        block = self._find(index)
        if piece.thinking:
            thought = self._joined(THOUGHT, piece.thinking) if self._odd else piece.thinking
            block.pieces.append(thought)
            out.append(ReasoningDelta(thought))
        elif piece.partial_json:
            text = self._joined(f"call {index}", piece.partial_json) if self._odd else piece.partial_json
            block.pieces.append(text)
            if block.type == "tool_use":
                self._call(block, FunctionPiece(arguments=text), out)
        if piece.signature:
            block.signature += piece.signature

    def _on_reason(self, piece: Piece | Answer) -> None:
        self._reason = piece.stop_reason or self._reason
        self._details = piece.stop_details or self._details

    # ---- blocks ----

    def _on_block(self, block: Block, index: int | None, raw: bytes, out: list[Delta]) -> None:
        """A block begins; nearly always with no text yet."""
        self._begin(_members(raw, "content_block", block), index, out)
        self._on_piece(Piece(thinking=block.thinking), index, out)
        self._on_text(block.text or "", index, out)

    def _on_message(self, answer: Answer, raw: bytes, out: list[Delta]) -> None:
        """The message, as it begins; of an answer in one piece, whole."""
        for at, block in enumerate(answer.content or ()):
            self._begin({**asdict(block), "type": block.type}, at, out)
            self._on_piece(Piece(thinking=block.thinking), at, out)
            self._on_text(block.text or "", at, out)
        if answer.usage is not None:
            self._usage = merged(self._usage, answer.usage)
        self._on_reason(answer)

    def _begin(self, members: JsonObject, index: int | None, out: list[Delta]) -> None:
        self._close(self._block, out)
        given = {name: value for name, value in members.items() if value is not None}
        text = {name: "" for name in ("text", "thinking") if name in given}
        block = OpenBlock(index, given | text)
        self._blocks.append(block)
        self._block = block
        if block.type == "tool_use":
            self._call(block, FunctionPiece(name=str(given.get("name", ""))), out)

    def _find(self, index: int | None) -> OpenBlock:
        """The block of a piece: the last one, if nothing says which."""
        if index is None or index == self._block.index:
            return self._block
        found = (each for each in reversed(self._blocks) if each.index == index)
        self._block = next(found, self._block)
        return self._block

    def _close(self, block: OpenBlock, out: list[Delta]) -> None:
        """No more comes of a block. What it is signed with goes back with it."""
        if block.closed:
            return
        block.closed = True
        if block.type == "tool_use" and not block.pieces:
            self._call(block, FunctionPiece(arguments=_text(block.members.get("input"))), out)
        elif block.type in ("thinking", "redacted_thinking"):
            signed = bool(block.signature or block.members.get("data"))
            self.signs = self.signs or signed
            if signed:
                out.append(OpaqueDelta({THINKING: [noted(block.whole(), *self._before(block))]}))

    def _before(self, block: OpenBlock) -> tuple[int, int]:
        """How many texts and calls stand before a block."""
        kinds = [each.type for each in self._blocks[: self._blocks.index(block)]]
        return kinds.count("text"), kinds.count("tool_use")

    def _call(self, block: OpenBlock, piece: FunctionPiece, out: list[Delta]) -> None:
        at = self.pauses * _LATER + (block.index or 0)
        call_id = str(block.members.get("id") or "") if piece.name else None
        self._calls.feed(CallPiece(piece, at, call_id), out)

    # ---- the end ----

    @property
    def _is_over(self) -> bool:
        return bool(self._reason)

    def _finish(self, out: list[Delta]) -> None:
        for block in self._blocks:
            self._close(block, out)
        if self._reason == PAUSED:
            return
        self._calls.finish(out)
        self._check_end(out)
        if self._reason == "refusal":
            out.append(RefusalDelta((self._details and self._details.explanation) or _DECLINED))
        if (cost := self._cost()) is not None:
            out.append(cost)
        out.append(self._finished())

    def _check_end(self, out: list[Delta]) -> None:
        """Raises UpstreamError for an answer that is none."""
        end = end_of(self._reason)
        if end == "fault":
            raise gave_up(self._reason)
        if not (self._said or out) and (end == "strange" and self._reason != "refusal"):
            raise nothing_said(f"It says: {self._reason}." if self._reason else self._words)

    def _cost(self) -> UsageDelta | None:
        """None: the server reported none."""
        if self._usage == _NO_USAGE:
            return self._spent
        return _cost(self._usage) if self._spent is None else self._spent.plus(_cost(self._usage))

    def _finished(self) -> Finished:
        # A call that the model was not allowed to finish is none.
        if self._reason == "refusal":
            return Finished("content_filter" if self._calls else "stop")
        return finished(end_of(self._reason), bool(self._calls))


def _members(raw: bytes, name: str, block: Block) -> JsonObject:
    """A block with all its members, also those that we do not read."""
    found = read_json(raw, {}).get(name)
    return found if isinstance(found, dict) else asdict(block)


def _text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()


def _cost(usage: Usage) -> UsageDelta:
    """The totals: what was read from the cache and written to it is input too."""
    read, written = usage.cache_read_input_tokens or 0, usage.cache_creation_input_tokens or 0
    told, details = usage.cache_creation, usage.output_tokens_details
    short = told.ephemeral_5m_input_tokens or 0 if told else 0
    long = told.ephemeral_1h_input_tokens or 0 if told else 0
    return UsageDelta(
        (usage.input_tokens or 0) + read + written,
        usage.output_tokens or 0,
        read,
        (details.thinking_tokens if details else None) or 0,
        written,
        CacheWrites(short, long) if told else None,
        # Nobody asks for `standard`, so it says nothing of what our own queue did.
        "priority" if usage.service_tier == "priority" else None,
    )
