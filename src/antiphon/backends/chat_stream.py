"""What an upstream says, chunk by chunk, as deltas. The hot path: every token of every answer passes here."""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from antiphon.backends.calls import Calls
from antiphon.backends.chat_chunk import (
    CallPiece,
    Choice,
    Chunk,
    Groq,
    Said,
    TokenLogprobs,
    Usage,
    decode,
    decode_leniently,
)
from antiphon.backends.endings import end_of, finished, gave_up
from antiphon.backends.event_reader import CUT_OFF, Nonsense, nothing_said
from antiphon.backends.responses.annotations import annotation_of
from antiphon.backends.splice import Run, Splicer, Wanted
from antiphon.backends.sse import Events, all_events, data_of, is_beat
from antiphon.backends.surrogates import PairJoiner
from antiphon.backends.think import ThinkSplitter
from antiphon.backends.tokens import scored
from antiphon.backends.upstream_errors import from_stream, words_in
from antiphon.backends.usage import merged, to_delta
from antiphon.model import (
    AnnotationDelta,
    AudioDelta,
    Delta,
    Finished,
    OpaqueDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    TextRun,
)
from antiphon.protocol.content import Logprob
from antiphon.protocol.errors import ApiError, UpstreamError

_RUNS = 8
"""Runs that are cut out of one read, or chunks that stand between them. What has more is mixed too finely."""

# ---- the reader -------------------------------------------------------------------------------------


class ChatStreamParser:
    """Reads one answer. `ended` is true once Finished was said. `think_opened`: the model's template opens
    the reasoning; `names`: the functions on offer. `splicer` cuts out runs of text; None: each chunk is
    decoded."""

    __slots__ = (
        "_calls",
        "_decode",
        "_gave_opaque",
        "_pairs",
        "_plain",
        "_reason",
        "_said",
        "_scored",
        "_splicer",
        "_think",
        "_tier",
        "_top",
        "_usage",
        "_waiting",
        "_words",
        "ended",
        "fault",
    )

    def __init__(
        self,
        *,
        think_tags: bool = False,
        think_opened: bool = False,
        top: int | None = None,
        names: frozenset[str] = frozenset(),
        splicer: Splicer | None = None,
    ) -> None:
        self._calls = Calls(names)
        self._decode: Callable[[bytes], Chunk] = decode
        self._gave_opaque = False
        self._pairs = PairJoiner()
        self._plain = not think_tags
        """Whether text goes out as it comes: there is no reasoning in it, and no call was begun."""
        self._reason: str | None = None
        self._said = False
        """Whether there was anything in the answer."""
        self._scored = False
        """Whether logprobs came."""
        self._splicer = splicer
        self._think: ThinkSplitter | None = ThinkSplitter(think_opened) if think_tags else None
        self._top = top
        self._usage: Usage | None = None
        self._tier: str | None = None
        self._waiting: list[TextDelta | ReasoningDelta] = []
        """What came between the pieces of a call, and white space behind calls."""
        self._words = ""
        """What the upstream said beside its answer."""
        self.ended = False
        self.fault: ApiError | None = None

    @property
    def gave_logprobs(self) -> bool | None:
        """Whether an answer that has ended came with the logprobs that were asked for; None: that says
        nothing, since it is no text, or none were."""
        if self._top is None or not self.ended:
            return None
        return True if self._scored else None if self._calls or self._reason == "content_filter" else False

    @property
    def gave_opaque(self) -> bool:
        """Whether something came that goes back as it came."""
        return self._gave_opaque or self._calls.opaque

    @property
    def failed_at_once(self) -> bool:
        """Whether the upstream told of a fault, and nothing else."""
        return self.fault is not None and not self._said

    def read_from(self, events: Events, data: bytes) -> list[Delta]:
        """The deltas of the events that one network read completes."""
        return self.read(events.whole(data))

    def read(self, events: bytes) -> list[Delta]:
        """The deltas of the whole events of one network read. What is wrong with them is left in `fault`, to
        be raised behind the deltas that came before it."""
        splicer = self._splicer
        if splicer is not None and self._plain and self._decode is decode:
            few = splicer.few(events)
            if few is not None:
                return [few]  # nearly always, where a model takes its time
        out: list[Delta] = []
        try:
            if splicer is not None and splicer.pays(len(events)):
                at = self._spliced(splicer, events, out)
                events = events[at:]
            if events:
                self._read(data_of(events), out)
                if splicer is not None and self._plain and len(out) == 1 and isinstance(out[0], TextDelta):
                    splicer.learn(events)
        except ApiError as fault:
            self.fault = fault
        if out:
            self._said = True
        return out

    def _spliced(self, splicer: Splicer, events: bytes, out: list[Delta]) -> int:
        """Takes runs of text, and what stands between them, as far as it pays. Returns how far that is."""
        at = 0
        for _ in range(_RUNS):
            if self.ended or not splicer.pays(len(events) - at):
                break
            wanted = self._wanted()
            if wanted is None:
                run, end = None, splicer.first_text(events, at)
            else:
                run, end = splicer.take(events, at, wanted)
            if run is None or not self._take_run(run, out):
                self._read(data_of(events[at:end]), out)
            at = end
        return at

    def _wanted(self) -> Wanted | None:
        """What may come in runs: text, or the arguments of a call; None: nothing just now."""
        if self._decode is not decode:
            return None
        if self._plain:
            return "text"
        return None if self._waiting else self._calls.flowing

    def _take_run(self, run: Run, out: list[Delta]) -> bool:
        """Whether it may be taken as it is."""
        if not self._plain:
            if self._think is not None:
                out += self._think.flush(blank=False)
            return self._calls.feed_run(run, out)
        out.append(TextRun(run.text, pieces=run.pieces))
        return True

    def _read(self, events: list[bytes], out: list[Delta]) -> None:
        for event in events:
            if self.ended:
                break
            try:
                chunk = self._decode(event)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self._read_odd(event, out)
                continue
            choices = chunk.choices
            beside = chunk.usage or chunk.x_groq or chunk.error
            if choices and choices[0].index == 0 and not beside:
                self._choice(choices[0], out)  # nearly always
            else:
                self._take(chunk, event, out)

    def _take(self, chunk: Chunk, event: bytes, out: list[Delta]) -> None:
        if chunk.error:
            raise from_stream(event)
        if chunk.choices:
            self._choice(chunk.chosen, out)
        elif chunk.object == "error":
            raise from_stream(event)
        elif chunk.usage is None:
            self._words = words_in(event) or self._words
        if chunk.usage is not None:
            self._usage = merged(self._usage, chunk.usage)
            self._tier = chunk.service_tier or self._tier
        if chunk.x_groq is not None:
            self._beside(chunk.x_groq)

    def _beside(self, groq: Groq) -> None:
        if groq.error:
            raise from_stream(_as_error(groq.error))
        if groq.usage is not None:
            self._usage = merged(self._usage, groq.usage)

    def _read_odd(self, event: bytes, out: list[Delta]) -> None:
        """What is no chunk as it should be. Raises UpstreamError for what is none at all."""
        if event.startswith(b"[DONE]"):
            self._end(out)
        elif (chunk := decode_leniently(event)) is not None:
            self._take(self._paired(chunk), event, out)
        elif b"\n" in event:  # events that no blank line parts
            self._read(list(filter(None, event.split(b"\n"))), out)
        elif not is_beat(event):
            self._read_list(event, out)

    def _read_list(self, event: bytes, out: list[Delta]) -> None:
        """Errors stand in a list, at Gemini's; an empty one is a sign of life."""
        try:
            listed = msgspec.json.decode(event, type=list[dict[str, Any]])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Nonsense(event, "chat completion") from None
        self._read([msgspec.json.encode(each) for each in listed], out)

    def whole(self, body: bytes, chunk: Chunk | None = None) -> list[Delta]:
        """The deltas of an answer that was not streamed, or of a stream that calls itself otherwise. `chunk`:
        the former, where it was decoded already."""
        out: list[Delta] = []
        if chunk is not None:
            self._take(chunk, body, out)
        else:
            self._read([body] if body.lstrip()[:1] in (b"{", b"[") else all_events(body), out)
        if not self.ended:
            self._end(out)
        return out

    def cut(self, rest: bytes | None) -> list[Delta]:
        """The stream ended without [DONE]: complete all the same, or cut off?"""
        out: list[Delta] = []
        try:
            self._read([rest] if rest else [], out)
        except Nonsense as fault:
            raise UpstreamError(CUT_OFF) from fault
        if not self.ended:
            if self._reason is None:
                raise UpstreamError(f"{CUT_OFF} {self._words}".rstrip())
            self._end(out)
        return out

    # ---- chunks that are not as they should be ----

    def _paired(self, chunk: Chunk) -> Chunk:
        """The chunk with its halves of characters joined. While one waits, all chunks come through here."""
        choice = chunk.chosen
        said = choice.delta or choice.message
        if said is not None:
            chunk = replace(chunk, choices=[replace(choice, delta=_join(said, self._pairs))])
        self._decode = self._decode_paired if self._pairs else decode
        return chunk

    def _decode_paired(self, event: bytes) -> Chunk:
        return self._paired(decode(event))

    # ---- what a chunk says ----

    def _choice(self, choice: Choice, out: list[Delta]) -> None:
        said = choice.delta or choice.message
        if said is not None:
            text = said.content
            bare = not text or choice.finish_reason
            if bare:
                self._opaque(said, out)
            if thought := said.reasoning_content or said.reasoning:
                self._thought(thought, out)
            if text:
                if text.__class__ is str and self._plain and choice.logprobs is None:
                    out.append(TextDelta(text))
                else:
                    self._text(text, choice.logprobs, out)
            if said.refusal or said.audio:
                out += _besides(said)
            if said.tool_calls or said.function_call:
                self._call(said, out)
            if bare and said.annotations:
                out += _annotations(said.annotations)
        if choice.finish_reason:
            self._on_reason(choice, choice.finish_reason)

    def _on_reason(self, choice: Choice, reason: str) -> None:
        if choice.error:
            raise from_stream(_as_error(choice.error))
        native = choice.native_finish_reason
        self._reason = native if native and end_of(native) == "fault" else reason
        if choice.usage is not None:
            self._usage = merged(self._usage, choice.usage)

    def _thought(self, thought: str, out: list[Delta]) -> None:
        if self._think is not None:
            self._think.reasoned()
        self._put(ReasoningDelta(thought), out)

    def _opaque(self, said: Said, out: list[Delta]) -> None:
        """What goes back as it came. Chunks of text have none, so they are not looked at. Reasoning may stand
        there alone."""
        if said.reasoning_details or said.thinking_blocks or said.extra_content:
            self._gave_opaque = True
            out.append(OpaqueDelta(said.opaque))
            if not (said.reasoning_content or said.reasoning) and (thought := said.details):
                self._thought(thought, out)

    def _put(self, delta: TextDelta | ReasoningDelta, out: list[Delta]) -> None:
        """Text and reasoning wait while a call is written: some servers mix them. So does white space behind
        calls, until more than that comes."""
        if (
            not self._plain
            and self._calls
            and (self._waiting or self._calls.writing or not delta.text.strip())
        ):
            self._waiting.append(delta)
            self._release(out)
        else:
            out.append(delta)

    def _release(self, out: list[Delta]) -> None:
        if not self._calls.writing and any(delta.text.strip() for delta in self._waiting):
            waiting, self._waiting = self._waiting, []
            out += waiting

    def _text(self, content: Any, logprobs: TokenLogprobs | None, out: list[Delta]) -> None:
        text = content if isinstance(content, str) else _parts(content, out)
        tokens: tuple[Logprob, ...] = ()
        if logprobs and logprobs.content and self._top is not None:
            self._scored = True
            tokens = scored(logprobs.content, self._top)
        if self._think is None:
            if text:
                self._put(TextDelta(text, tokens), out)
            return
        for delta in self._think.feed(text, tokens):
            self._put(delta, out)
        if self._think.done:
            self._think = None
            self._plain = not self._calls

    def _call(self, said: Said, out: list[Delta]) -> None:
        self._plain = False
        if self._think is not None:
            out += self._think.flush(blank=False)
        for piece in said.tool_calls or ():
            self._calls.feed(piece, out)
        if said.function_call:
            self._calls.feed(CallPiece(said.function_call, 0), out)
        if self._waiting:
            self._release(out)

    # ---- the end ----

    def _end(self, out: list[Delta]) -> None:
        if self._pairs:
            self._choice(Choice(delta=_alone(self._pairs)), out)
        if self._think is not None:
            out += self._unthought(self._think)
        self._calls.finish(out, cut=end_of(self._reason or "") == "length")
        if any(delta.text.strip() for delta in self._waiting):
            out += self._waiting
        self._said = self._said or bool(out)
        last = self._finished()
        if self._usage is not None:
            out.append(to_delta(self._usage, self._tier))
        out.append(last)
        self.ended, self._splicer = True, None

    def _unthought(self, think: ThinkSplitter) -> list[TextDelta | ReasoningDelta]:
        """What was held back at the end. An answer cannot be all reasoning because of a model's name."""
        held = think.flush(blank=not self._calls)
        if think.unclosed and not self._calls and end_of(self._reason or "") != "length":
            held.append(TextDelta(think.unclosed))
        return held

    def _finished(self) -> Finished:
        reason = self._reason or "stop"
        end = end_of(reason)
        if end == "fault":
            raise gave_up(reason, self._words)
        if not self._said and (self._reason is None or end == "strange"):
            why = self._words if self._reason is None else f"It says: {reason}."
            raise nothing_said(why)
        return finished(end, bool(self._calls))


def _join(said: Said, pairs: PairJoiner) -> Said:
    """What was said, with halves of characters joined to those that came before."""
    calls = [
        replace(piece, function=replace(piece.function, arguments=pairs.join(f"call {piece.index}", text)))
        if piece.function and isinstance(text := piece.function.arguments, str)
        else piece
        for piece in said.tool_calls or ()
    ]
    content = pairs.join("content", said.content) if isinstance(said.content, str) else said.content
    thought = pairs.join("reasoning", said.reasoning_content or said.reasoning)
    refusal = pairs.join("refusal", said.refusal)
    return replace(
        said, content=content, reasoning_content=thought, reasoning=None, refusal=refusal, tool_calls=calls
    )


def _alone(pairs: PairJoiner) -> Said:
    """Halves whose other half never came."""
    left = pairs.rest()
    return Said(
        content=left.get("content"), reasoning_content=left.get("reasoning"), refusal=left.get("refusal")
    )


def _besides(said: Said) -> Iterator[Delta]:
    if said.refusal:
        yield RefusalDelta(said.refusal)
    if said.audio:
        yield AudioDelta(said.audio.data or "", said.audio.transcript or "")


def _as_error(error: Any) -> bytes:
    return msgspec.json.encode({"error": error})


def _annotations(given: Any) -> Iterator[AnnotationDelta]:
    """Sources of the text, whose members stand one level deeper than in responses."""
    for each in given if isinstance(given, list) else ():
        inner = each.get(each.get("type")) if isinstance(each, dict) else None
        found = annotation_of({**each, **inner}, 0) if isinstance(inner, dict) else None
        if found is not None:
            yield AnnotationDelta(found)


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
