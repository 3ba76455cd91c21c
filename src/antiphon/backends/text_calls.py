"""Calls that a model writes in its text, in a syntax of its own, although its server should have read them.

Stands between what a server says and who gets it. Text passes as it comes; what may become a call is held
back until it is known, and is a call if its function was offered in this turn. Otherwise it is text, as it
was written. The syntaxes are data, in `syntaxes`.
"""

from collections.abc import Sequence
from typing import Final

from antiphon.backends.call_bodies import CallBody, Said
from antiphon.backends.call_heads import (
    OPENINGS,
    WHITE,
    Begun,
    Found,
    Unsure,
    begun_again,
    begun_alone,
    begun_with,
)
from antiphon.backends.call_order import CallOrder
from antiphon.backends.offer import Offer, offered
from antiphon.backends.syntaxes import ALONE, Syntax
from antiphon.backends.token_queue import TokenQueue
from antiphon.model import (
    CallArguments,
    CallStarted,
    Delta,
    Finished,
    OpaqueDelta,
    ReasoningDelta,
    TextDelta,
    TextRun,
    Turn,
    UsageDelta,
    single,
)

_BLANKS: Final = 64
"""White space before a call belongs to nothing: so many characters of it wait for what follows."""
_PENDING: Final = f"{WHITE}["
"""Ends of a text that may belong to a call. All marks of calls begin with "<" or "[T"."""
_SLICE: Final = 4096
"""Characters that are looked at in one go: what is cut off them is copied."""


class TextCalls:
    """Reads the deltas of one answer to `turn`; behind its call number `most` nothing counts."""

    __slots__ = (
        "_after",
        "_alone",
        "_body",
        "_free",
        "_fresh",
        "_held",
        "_idle",
        "_most",
        "_offer",
        "_order",
        "_plain",
        "_tokens",
        "_usage",
        "_written",
    )

    def __init__(self, turn: Turn, most: int | None = None) -> None:
        self._offer = Offer(offered(turn))
        self._most = most
        self._order = CallOrder()
        self._tokens = TokenQueue()
        self._held = ""
        """The end of the text so far, which may begin a call."""
        self._body: CallBody | None = None
        """The call that is being written."""
        self._after: Syntax | None = None
        """The syntax of the call right before: nothing but white space came behind it."""
        self._fresh = turn.format == "text"
        """Whether the answer may still be nothing but calls, without any mark around them."""
        self._alone: list[Said] = []
        """The calls of such an answer."""
        self._written: list[str] = []
        """Their text."""
        self._plain: list[str] = []
        """Text that goes out."""
        self._usage: list[Delta] = []
        self._free = False
        """Whether no call is under way, and the answer not all calls."""
        self._idle = False
        """Whether nothing is held back either."""

    @property
    def done(self) -> bool:
        """Whether there are as many calls as count."""
        return self._most is not None and self._order.found >= self._most

    def feed(self, batch: Sequence[Delta]) -> Sequence[Delta]:
        """What the deltas say, calls as calls. The hot path: text that cannot be part of a call."""
        if self._idle:
            for delta in batch:
                kind = delta.__class__
                if kind is TextDelta:
                    text = delta.text  # type: ignore[union-attr]
                    if "<" in text or "[T" in text or text[-1:] in _PENDING:
                        break
                elif not (kind is ReasoningDelta or (isinstance(delta, TextRun) and _has_no_mark(delta))):
                    break
            else:
                return batch
        batch = single(batch, (TextRun,))
        if self._free and len(batch) == 1 and batch[0].__class__ is TextDelta:
            passed = self._pass_on(batch[0])
            if passed is not None:
                return passed
        return self._sift(batch)

    def _pass_on(self, delta: TextDelta) -> Sequence[Delta] | None:
        """What goes out of a text without a mark, no call being under way; None for any other."""
        if delta.logprobs:
            return None
        text = self._held + delta.text
        at, mark = OPENINGS.find(text) if "<" in text or "[" in text else (len(text), "")
        if mark:
            return None
        if at == len(text) and text[-1:] not in WHITE:
            self._held, self._idle = "", True
            return (TextDelta(text),)
        cut = _before_blanks(text, at)
        self._held, self._idle = text[cut:], False
        return (TextDelta(text[:cut]),) if cut else ()

    def _sift(self, batch: Sequence[Delta]) -> list[Delta]:
        out: list[Delta] = []
        for delta in batch:
            if self.done:
                break
            match delta:
                case TextDelta():
                    self._read(delta, out)
                case OpaqueDelta(call=int()):
                    self._order.opaque(delta, out)
                case OpaqueDelta():
                    out.append(delta)
                case CallStarted() | CallArguments():
                    self._interrupt(out)
                    self._order.native(delta, out)
                case UsageDelta():
                    self._usage.append(delta)  # waits for what is held back
                case Finished():
                    self._finish(delta, out)
                case _:
                    self._interrupt(out)
                    out.append(delta)
        self._free = not (self._body or self._after or self._fresh or self._written or self._tokens)
        self._idle = self._free and not self._held
        return out

    # ---- text ----

    def _read(self, delta: TextDelta, out: list[Delta]) -> None:
        self._tokens.add(delta.logprobs)
        for start in range(0, len(delta.text), _SLICE):
            text = delta.text[start : start + _SLICE]
            while text and not self.done:
                if self._body is not None:
                    text = self._in_call(self._body, text, out)
                else:
                    text = self._in_text(self._held + text, out)
        self._flush(out)
        if not (self._held or self._body or self._written):
            self._flush_tokens(out)

    def _in_text(self, text: str, out: list[Delta]) -> str:
        """Takes the text up to what may begin a call, which is held back, or up to the body of one. What is
        left of it is returned."""
        self._held = ""
        if self._after:
            return self._behind(text, self._after, out)
        if self._fresh:
            return self._first(text)
        found: Found = None
        at, mark = OPENINGS.find(text)
        while mark and (found := begun_with(mark, text, at, self._offer)) is None:
            at, mark = OPENINGS.find(text, at + 1)
        cut = _before_blanks(text, at)
        self._say(text[:cut])
        if isinstance(found, Begun):
            return self._begin(found, text[cut : found.body], text[found.body :])
        self._held = text[cut:]
        return ""

    def _first(self, text: str) -> str:
        """The beginning of an answer, which may be nothing but calls."""
        start = _before_blanks(text, len(text) - len(text.lstrip(WHITE)))
        self._say(text[:start])
        text = text[start:]
        found = begun_alone(text, self._offer) if text.strip(WHITE) else Unsure.YET
        if found is Unsure.YET:
            self._held = text
            return ""
        self._fresh = False
        return text if found is None else self._begin(found, text[: found.body], text[found.body :])

    def _behind(self, text: str, syntax: Syntax, out: list[Delta]) -> str:
        """What follows a call: the end of its syntax, another call, or other text."""
        stripped = text.lstrip(WHITE)
        blanks = len(text) - len(stripped)
        if blanks <= _BLANKS:
            for mark in syntax.closes:
                if stripped.startswith(mark):
                    end = blanks + len(mark)
                    self._skip(text[:end], out)
                    return text[end:]
            found = begun_again(syntax, text, self._offer)
            if isinstance(found, Begun):
                return self._begin(found, text[: found.body], text[found.body :])
            if found or not stripped or any(mark.startswith(stripped) for mark in syntax.closes):
                self._held = text
                return ""
        self._after = None
        self._give_up()
        return text

    def _begin(self, found: Begun, head: str, rest: str) -> str:
        self._after, self._fresh = None, False
        self._body = CallBody(found.syntax, found.name, head, self._offer)
        return rest

    # ---- calls ----

    def _in_call(self, body: CallBody, text: str, out: list[Delta]) -> str:
        ended = body.feed(text)
        if ended is None:
            return ""
        self._end(body, ended[1], out)
        return ended[0]

    def _end(self, body: CallBody, calls: Sequence[Said] | None, out: list[Delta]) -> None:
        """A body has ended: its calls, or what was taken for one."""
        self._body = None
        if calls is not None:
            self._after = body.syntax
        if body.syntax in ALONE:
            self._written.append(body.text)
            self._alone += calls or ()
            if calls is None:
                self._give_up()
        elif calls is None:
            self._say(body.text)
        else:
            self._skip(body.text, out)
            self._call(calls, out)

    def _call(self, calls: Sequence[Said], out: list[Delta]) -> None:
        for name, arguments in calls:
            if not self.done:
                self._order.text(name, arguments, out)

    def _give_up(self) -> None:
        """The answer is not all calls: it is text."""
        self._say("".join(self._written))
        self._alone.clear()
        self._written.clear()

    # ---- what goes out ----

    def _say(self, text: str) -> None:
        if text:
            self._plain.append(text)

    def _skip(self, text: str, out: list[Delta]) -> None:
        """Text that belongs to calls."""
        if self._written:
            self._written.append(text)
        else:
            self._flush(out)
            self._tokens.take(len(text))

    def _flush(self, out: list[Delta]) -> None:
        if self._plain:
            text = "".join(self._plain)
            self._plain.clear()
            out.append(TextDelta(text, self._tokens.take(len(text))))

    def _flush_tokens(self, out: list[Delta]) -> None:
        """All text is out: so are its tokens, also those that are longer than they read."""
        left = self._tokens.rest()
        last = out[-1] if out else None
        if left and isinstance(last, TextDelta):
            out[-1] = TextDelta(last.text, last.logprobs + left)

    def _interrupt(self, out: list[Delta]) -> None:
        """Something else comes: text that had not begun a call is text."""
        if self._written:
            return
        if self._held.strip(WHITE) or not self._after:
            self._fresh = self._fresh and not self._held.strip(WHITE)
            self._say(self._held)
        self._held = ""
        self._flush(out)

    def _finish(self, finished: Finished, out: list[Delta]) -> None:
        cut = finished.reason == "length"
        if self._body is not None:
            self._end(self._body, self._body.rest(cut), out)
        if self._written:
            if self._held.strip(WHITE) and not cut:
                self._give_up()
            else:
                self._call(self._alone, out)
                self._written.clear()
                self._held = ""
        self._interrupt(out)
        self._order.settle(out)
        reason = "calls" if self._order.found and finished.reason == "stop" else finished.reason
        out += (*self._usage, Finished(reason))


def _has_no_mark(run: TextRun) -> bool:
    """Whether none of its deltas may begin a call, as `feed` sees of each."""
    text = run.text
    return not ("<" in text or "[T" in text or any(each[-1:] in _PENDING for each in run.texts))


def _before_blanks(text: str, at: int) -> int:
    """Where the white space before a place begins."""
    return max(len(text[:at].rstrip(WHITE)), at - _BLANKS)
