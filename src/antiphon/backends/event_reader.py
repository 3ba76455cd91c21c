"""What readers of answers that come as named events have in common, whatever the events are called.

Liberal in what is read: what cannot be decoded strictly is read leniently, what is of no known kind is
skipped, and an answer in which nothing was said is a failure.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from antiphon.backends.leniency import read_leniently
from antiphon.backends.sse import Events, all_events, is_beat
from antiphon.backends.surrogates import PairJoiner
from antiphon.model import Delta, ReasoningDelta, TextDelta
from antiphon.protocol.errors import ApiError, UpstreamError

CUT_OFF = "The upstream ended its answer before it was complete."
_DONE = b"[DONE]"
TEXT = "text"
THOUGHT = "thought"

E = TypeVar("E", bound=Struct)


class Nonsense(UpstreamError):
    """What came is not what was `expected`."""

    def __init__(self, raw: bytes, expected: str) -> None:
        excerpt = raw[:80].decode(errors="replace")
        super().__init__(f"The upstream sent something that is no {expected}: {excerpt!r}")


def nothing_said(words: str = "") -> UpstreamError:
    """The fault of an answer in which nothing was said; `words` tell why."""
    return UpstreamError(f"The upstream ended its answer without having said anything. {words}".rstrip())


class EventReader(Generic[E]):
    """Reads one answer. `ended` is true once Finished was said; `fault` is what was wrong with it, to be
    raised behind the deltas that came before. `halves`: members in which characters may be cut in half."""

    def __init__(self, kind: type[E], decode: Callable[[bytes], E], halves: frozenset[str]) -> None:
        self.ended = False
        self.fault: ApiError | None = None
        self._kind = kind
        self._decode = decode
        self._halves = halves
        self._pairs = PairJoiner()
        self._odd = False
        """Whether text may have half of a character, or follow on one."""
        self._said = False
        """Whether there was anything in the answer."""

    # ---- what an API has to say ----

    def _take(self, event: E, raw: bytes, out: list[Delta]) -> None:
        """What an event says. Raises ApiError."""
        raise NotImplementedError

    def _finish(self, out: list[Delta]) -> None:
        """The end, as far as it is known: what waited, usage, Finished. Raises ApiError."""
        raise NotImplementedError

    @property
    def _is_over(self) -> bool:
        """Whether the upstream has said how its answer ends."""
        raise NotImplementedError

    # ---- reading ----

    def read_from(self, events: Events, data: bytes) -> list[Delta]:
        """The deltas of the events that one network read completes."""
        return self.read(events.feed(data))

    def read(self, events: list[bytes]) -> list[Delta]:
        """The deltas of the events of one network read."""
        out: list[Delta] = []
        try:
            self._read(events, out)
        except ApiError as fault:
            self.fault = fault
        self._said = self._said or bool(out)
        return out

    def whole(self, body: bytes) -> list[Delta]:
        """The deltas of an answer in one piece, or of a stream that calls itself otherwise. Raises
        ApiError."""
        out: list[Delta] = []
        self._read([body] if body.lstrip().startswith(b"{") else all_events(body), out)
        return self._closed(out)

    def cut(self, rest: bytes | None) -> list[Delta]:
        """The stream is over, and did not say so: complete all the same, or cut off? Raises ApiError."""
        out: list[Delta] = []
        try:
            self._read([rest] if rest else [], out)
        except Nonsense as fault:
            raise UpstreamError(CUT_OFF) from fault
        return self._closed(out)

    def _closed(self, out: list[Delta]) -> list[Delta]:
        if not self.ended:
            if not self._is_over:
                raise UpstreamError(CUT_OFF) if self._said or out else nothing_said()
            self._end(out)
        return out

    def _read(self, events: list[bytes], out: list[Delta]) -> None:
        for raw in events:
            if self.ended:
                break
            try:
                event = self._decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                self._read_odd(raw, out)
            else:
                self._take(event, raw, out)

    def _read_odd(self, raw: bytes, out: list[Delta]) -> None:
        """What is no event as it should be. Raises UpstreamError for what is none at all."""
        if raw.startswith(_DONE):
            self._closed(out)
        elif (event := read_leniently(raw, self._kind, self._halves)) is not None:
            self._odd = True
            self._take(event, raw, out)
            self._odd = bool(self._pairs)
        elif b"\n" in raw:  # events that no blank line parts
            self._read(list(filter(None, raw.split(b"\n"))), out)
        elif not is_beat(raw):
            raise Nonsense(raw, "event")

    def _end(self, out: list[Delta]) -> None:
        alone = self._pairs.rest()
        if text := alone.get(TEXT):
            out.append(TextDelta(text))
        if thought := alone.get(THOUGHT):
            out.append(ReasoningDelta(thought))
        self._said = self._said or bool(out)
        self.ended = True
        self._finish(out)

    def _joined(self, channel: str, text: str) -> str:
        """Text that may begin or end with half of a character: what waits is put in front."""
        return self._pairs.join(channel, text) or ""
