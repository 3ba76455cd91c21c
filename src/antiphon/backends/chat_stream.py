"""What an upstream says, chunk by chunk, as deltas. The hot path: every token of every answer passes here."""

from typing import Any

import msgspec
from msgspec import Struct

from antiphon.backends.calls import CallPiece, Calls, FunctionPiece
from antiphon.backends.think import ThinkSplitter
from antiphon.backends.upstream_errors import from_stream
from antiphon.model import (
    AudioDelta,
    Delta,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    UsageDelta,
)
from antiphon.protocol.content import Logprob, TopLogprob
from antiphon.protocol.errors import ApiError, UpstreamError

# ---- the members that we read -----------------------------------------------------------------------


class _Top(Struct, frozen=True, gc=False):
    token: str = ""
    logprob: float | None = None
    bytes: list[int] | None = None


class _Token(Struct, frozen=True, gc=False):
    token: str = ""
    logprob: float | None = None
    bytes: list[int] | None = None
    top_logprobs: list[_Top] | None = None


class _Logprobs(Struct, frozen=True, gc=False):
    content: list[_Token] | None = None


class _Audio(Struct, frozen=True, gc=False):
    data: str | None = None
    transcript: str | None = None


class _Said(Struct, frozen=True, gc=False):
    content: str | list[dict[str, Any]] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    audio: _Audio | None = None
    tool_calls: list[CallPiece] | None = None
    function_call: FunctionPiece | None = None


class _Choice(Struct, frozen=True, gc=False):
    delta: _Said | None = None
    message: _Said | None = None
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None
    index: int = 0


class _InputDetails(Struct, frozen=True, gc=False):
    cached_tokens: int | None = None


class _OutputDetails(Struct, frozen=True, gc=False):
    reasoning_tokens: int | None = None


class _Usage(Struct, frozen=True, gc=False):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _InputDetails | None = None
    completion_tokens_details: _OutputDetails | None = None


class _Chunk(Struct, frozen=True, gc=False):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None
    object: str | None = None


_decode = msgspec.json.Decoder(_Chunk).decode

_CUT_OFF = "The upstream ended its answer before it was complete."

_REASONS: dict[str, Any] = {
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
}
_FAULTS = frozenset({"error", "abort", "insufficient_system_resource"})

# ---- the reader -------------------------------------------------------------------------------------


class ChatStreamParser:
    """Reads one answer. `ended` is true once Finished was said."""

    __slots__ = ("_calls", "_phrases", "_reason", "_think", "_top", "_usage", "ended", "fault")

    def __init__(
        self, *, think_tags: bool = False, top: int | None = None, phrases: tuple[str, ...] = ()
    ) -> None:
        self._calls = Calls()
        self._phrases = phrases
        self._reason: str | None = None
        self._think: ThinkSplitter | None = ThinkSplitter() if think_tags else None
        self._top = top
        self._usage: _Usage | None = None
        self.ended = False
        self.fault: ApiError | None = None

    def read(self, events: list[bytes]) -> list[Delta]:
        """The deltas of the events of one network read. What is wrong with them is left in `fault`, to be
        raised behind the deltas that came before it."""
        out: list[Delta] = []
        try:
            self._read(events, out)
        except ApiError as fault:
            self.fault = fault
        return out

    def _read(self, events: list[bytes], out: list[Delta]) -> None:
        for event in events:
            if event == b"[DONE]":
                self._end(out)
                break
            try:
                chunk = _decode(event)
            except (msgspec.DecodeError, UnicodeDecodeError) as fault:
                raise _nonsense(event) from fault
            if chunk.error:
                raise from_stream(event, self._phrases)
            if chunk.choices:
                choice = chunk.choices[0]
                if choice.index == 0:
                    self._choice(choice, out)
            elif chunk.object == "error":
                raise from_stream(event, self._phrases)
            if chunk.usage is not None:
                self._usage = chunk.usage

    def whole(self, body: bytes) -> list[Delta]:
        """The deltas of an answer that was not streamed."""
        out: list[Delta] = []
        self._read([body], out)
        if not self.ended:
            self._end(out)
        return out

    def cut(self, rest: bytes | None) -> list[Delta]:
        """The stream ended without [DONE]: complete all the same, or cut off?"""
        out: list[Delta] = []
        try:
            self._read([rest] if rest else [], out)
        except _Nonsense as fault:
            raise UpstreamError(_CUT_OFF) from fault
        if not self.ended:
            if self._reason is None:
                raise UpstreamError(_CUT_OFF)
            self._end(out)
        return out

    def _choice(self, choice: _Choice, out: list[Delta]) -> None:
        said = choice.delta or choice.message
        if said is not None:
            thought = said.reasoning_content or said.reasoning
            if thought:
                out.append(ReasoningDelta(thought))
            text = said.content
            if text:
                if text.__class__ is str and self._think is None and choice.logprobs is None:
                    out.append(TextDelta(text))
                else:
                    self._text(text, choice.logprobs, out)
            if said.refusal:
                out.append(RefusalDelta(said.refusal))
            if said.audio:
                out.append(AudioDelta(said.audio.data or "", said.audio.transcript or ""))
            if said.tool_calls or said.function_call:
                self._call(said, out)
        if choice.finish_reason:
            self._reason = choice.finish_reason

    def _text(
        self, content: str | list[dict[str, Any]], logprobs: _Logprobs | None, out: list[Delta]
    ) -> None:
        text = content if isinstance(content, str) else _parts(content, out)
        tokens = self._logprobs(logprobs) if logprobs and logprobs.content and self._top is not None else ()
        if self._think is None:
            if text:
                out.append(TextDelta(text, tokens))
            return
        out += self._think.feed(text, tokens)
        if self._think.done:
            self._think = None

    def _call(self, said: _Said, out: list[Delta]) -> None:
        if self._think is not None:
            out += self._think.flush(blank=False)
        for piece in said.tool_calls or ():
            self._calls.feed(piece, out)
        if said.function_call:
            self._calls.feed(CallPiece(said.function_call, 0), out)

    def _logprobs(self, logprobs: _Logprobs) -> tuple[Logprob, ...]:
        return tuple(
            Logprob(
                token=token.token,
                bytes=_bytes(token),
                logprob=_number(token.logprob),
                top_logprobs=[
                    TopLogprob(token=other.token, bytes=_bytes(other), logprob=_number(other.logprob))
                    for other in (token.top_logprobs or ())[: self._top]
                ],
            )
            for token in logprobs.content or ()
        )

    def _end(self, out: list[Delta]) -> None:
        if self._think is not None:
            out += self._think.flush()
        self._calls.finish(out)
        if self._usage is not None:
            out.append(_usage(self._usage))
        out.append(self._finished())
        self.ended = True

    def _finished(self) -> Finished:
        reason = self._reason or "stop"
        if reason in _FAULTS:
            raise UpstreamError(f"The upstream gave up in the middle of its answer ({reason}).")
        # Servers disagree on the reason next to calls, and new reasons come up: the calls decide.
        return Finished(_REASONS.get(reason) or ("calls" if self._calls else "stop"))


class _Nonsense(UpstreamError):
    """What arrived is no chunk."""


def _nonsense(event: bytes) -> _Nonsense:
    excerpt = event[:80].decode(errors="replace")
    return _Nonsense(f"The upstream sent something that is no chat completion: {excerpt!r}")


def _parts(parts: list[dict[str, Any]], out: list[Delta]) -> str:
    """Content that comes as parts: the text; reasoning goes out by itself."""
    texts = []
    for part in parts:
        if isinstance(thinking := part.get("thinking"), list):
            thinking = "".join(str(piece.get("text", "")) for piece in thinking if isinstance(piece, dict))
        if thinking:
            out.append(ReasoningDelta(str(thinking)))
        elif isinstance(text := part.get("text"), str):
            texts.append(text)
    return "".join(texts)


def _bytes(token: _Token | _Top) -> list[int]:
    return list(token.token.encode(errors="replace")) if token.bytes is None else token.bytes


def _number(logprob: float | None) -> float:
    """JSON has no minus infinity: servers write null, or OpenAI's own -9999."""
    return -9999.0 if logprob is None else logprob


def _usage(usage: _Usage) -> UsageDelta:
    before, after = usage.prompt_tokens_details, usage.completion_tokens_details
    return UsageDelta(
        usage.prompt_tokens or 0,
        usage.completion_tokens or 0,
        (before.cached_tokens if before else 0) or 0,
        (after.reasoning_tokens if after else 0) or 0,
    )
