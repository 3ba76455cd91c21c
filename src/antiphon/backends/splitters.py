"""Function calls in an answer that is held to a form, passed on as they stream. The forms are those of
`hermes`; calls in free text are found by `text_calls`."""

import re

import msgspec

from antiphon.backends.call_bodies import known, read_calls
from antiphon.backends.offer import Offer
from antiphon.backends.value_scanner import ValueScanner
from antiphon.model import CallArguments, CallStarted, Delta, TextDelta
from antiphon.protocol.content import Logprob

_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*', re.S)
_ANSWER = re.compile(r'\s*\{\s*"answer"\s*:\s*', re.S)


class NamedSplitter:
    """The whole text is the arguments of one call, unless it does not begin as an object."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._value = ValueScanner()
        self._plain = False
        self._blank = ""
        self.calls = 0

    def feed(self, text: str, logprobs: tuple[Logprob, ...], out: list[Delta]) -> None:
        if not self.calls and not self._plain:
            text, self._blank = self._blank + text, ""
            if not text.strip():
                self._blank = text
                return
            self._plain = not text.lstrip().startswith("{")
        if self._plain:
            out.append(TextDelta(text, logprobs))
        elif found := self._value.feed(text):
            if not self.calls:
                self.calls = 1
                out.append(CallStarted(0, self._name))
            out.append(CallArguments(0, found))

    def finish(self, out: list[Delta], cut: bool) -> None:
        if not self.calls and not self._plain and not cut:
            self.calls = 1
            out += (CallStarted(0, self._name), CallArguments(0, "{}"))


class TextSplitter:
    """The whole text is the one argument of one call."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.calls = 0

    def feed(self, text: str, logprobs: tuple[Logprob, ...], out: list[Delta]) -> None:
        self._begin(out)
        out.append(CallArguments(0, msgspec.json.encode(text).decode()[1:-1]))

    def finish(self, out: list[Delta], cut: bool) -> None:
        if not cut:
            self._begin(out)
            out.append(CallArguments(0, '"}'))

    def _begin(self, out: list[Delta]) -> None:
        if not self.calls:
            self.calls = 1
            out += (CallStarted(0, self._name), CallArguments(0, '{"input":"'))


class ObjectSplitter:
    """The text is `{"name": ..., "arguments": ...}`, or `{"answer": ...}` where an answer is allowed."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer
        self._head = ""
        self._value: ValueScanner | None = None
        self._plain = False
        self.calls = 0

    def feed(self, text: str, logprobs: tuple[Logprob, ...], out: list[Delta]) -> None:
        if self._plain:
            out.append(TextDelta(text, logprobs))
        elif self._value is not None:
            self._tell(self._value.feed(text), out)
        else:
            self._head += text
            self._begin(out)

    def finish(self, out: list[Delta], cut: bool) -> None:
        """A head that never became one: the members may stand in another order."""
        if self._value is not None or self._plain or not self._head:
            return
        calls = None if cut else known(read_calls(self._head), self._offer)
        if calls is None:
            out.append(TextDelta(self._head))
            return
        self.calls = 1
        out += (CallStarted(0, calls[0][0]), CallArguments(0, calls[0][1]))

    def _begin(self, out: list[Delta]) -> None:
        head = self._head.lstrip()
        if match := _HEAD.match(self._head):
            function = self._offer.find(msgspec.json.decode(match[1]))
            if function is not None:
                self.calls = 1
                out.append(CallStarted(0, function.name))
                self._rest(match.end(), out)
        elif match := _ANSWER.match(self._head):
            self._rest(match.end(), out)
        elif head and not head.startswith("{"):
            self._plain = True
            out.append(TextDelta(self._head))

    def _rest(self, at: int, out: list[Delta]) -> None:
        self._value = ValueScanner()
        self._tell(self._value.feed(self._head[at:]), out)

    def _tell(self, text: str, out: list[Delta]) -> None:
        if text:
            out.append(CallArguments(0, text) if self.calls else TextDelta(text))
