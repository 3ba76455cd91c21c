"""Function calls found in the text of a model, as it streams. The forms are those of `hermes`."""

import re

import msgspec

from antiphon.backends.messages import is_object
from antiphon.backends.think import partial
from antiphon.model import CallArguments, CallStarted, Delta, TextDelta
from antiphon.protocol.content import Logprob

OPEN, CLOSE = "<tool_call>", "</tool_call>"

_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*', re.S)
_ANSWER = re.compile(r'\s*\{\s*"answer"\s*:\s*', re.S)


class ValueScanner:
    """Finds the end of a JSON value in text that arrives in pieces."""

    __slots__ = ("_begun", "_depth", "_escaped", "_string", "done")

    def __init__(self) -> None:
        self._begun = self._string = self._escaped = False
        self._depth = 0
        self.done = False

    def feed(self, text: str) -> str:
        """As much of the text as belongs to the value; white space around it does not."""
        if self.done:
            return ""
        start = 0 if self._begun else len(text) - len(text.lstrip())
        for at in range(start, len(text)):
            with_it = self._ends(text[at])
            if self.done:
                return text[start : at + with_it]
        return text[start:]

    def _ends(self, char: str) -> bool:
        """Takes the next character. When the value is done: whether this character belongs to it."""
        self._begun = True
        if self._string:
            self._in_string(char)
            self.done = not self._string and not self._depth
        elif char == '"':
            self._string = True
        elif char in "{[":
            self._depth += 1
        elif not self._depth:
            # A number or a word has no end of its own.
            self.done = char in "}]," or char.isspace()
            return False
        elif char in "}]":
            self._depth -= 1
            self.done = not self._depth
        return True

    def _in_string(self, char: str) -> None:
        if self._escaped:
            self._escaped = False
        elif char == "\\":
            self._escaped = True
        elif char == '"':
            self._string = False


class NamedSplitter:
    """The whole text is the arguments of one call."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._value = ValueScanner()
        self.calls = 0
        self.done = False

    def feed(self, text: str, logprobs: tuple[Logprob, ...], out: list[Delta]) -> None:
        if found := self._value.feed(text):
            if not self.calls:
                self.calls = 1
                out.append(CallStarted(0, self._name))
            out.append(CallArguments(0, found))

    def finish(self, out: list[Delta], cut: bool) -> None:
        if not self.calls and not cut:
            self.calls = 1
            out += (CallStarted(0, self._name), CallArguments(0, "{}"))


class TextSplitter:
    """The whole text is the one argument of one call."""

    done = False

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

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._head = ""
        self._value: ValueScanner | None = None
        self._plain = False
        self.calls = 0
        self.done = False

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
        call = None if cut else read_call(self._head, self._names)
        if call is None:
            out.append(TextDelta(self._head))
            return
        self.calls = 1
        out += (CallStarted(0, call[0]), CallArguments(0, call[1]))

    def _begin(self, out: list[Delta]) -> None:
        head = self._head.lstrip()
        if match := _HEAD.match(self._head):
            name = msgspec.json.decode(match[1])
            if name in self._names:
                self.calls = 1
                out.append(CallStarted(0, name))
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


class TagScanner:
    """Free text with `<tool_call>` … `</tool_call>` in it; `one`: nothing counts after the first call."""

    def __init__(self, names: frozenset[str], one: bool = False) -> None:
        self._names = names
        self._one = one
        self._held = ""
        self._inside = False
        self._logprobs: tuple[Logprob, ...] = ()
        self.calls = 0

    @property
    def done(self) -> bool:
        return self._one and self.calls > 0

    def feed(self, text: str, logprobs: tuple[Logprob, ...], out: list[Delta]) -> None:
        self._logprobs += logprobs
        text, self._held = self._held + text, ""
        while text and not self.done:
            text = self._in_call(text, out) if self._inside else self._in_text(text, out)

    def finish(self, out: list[Delta], cut: bool) -> None:
        """The answer ends: with a call that was not closed, with half a call, or with text held back."""
        held, self._held = self._held, ""
        if self.done:
            return
        if not self._inside:
            if held.strip() or not self.calls:
                self._text(held, out)
        elif call := read_call(held, self._names):
            self._call(call, out)
        elif cut and (match := _HEAD.match(held)) and msgspec.json.decode(match[1]) in self._names:
            self._call((msgspec.json.decode(match[1]), held[match.end() :]), out)
        else:
            self._text(OPEN + held, out)

    def _in_text(self, text: str, out: list[Delta]) -> str:
        before, opened, after = text.partition(OPEN)
        if opened:
            self._text(before.rstrip(), out)
            self._inside = True
            return after
        # White space before a call belongs to neither, so it waits as well.
        cut = len(text[: partial(text, OPEN)].rstrip())
        self._held = text[cut:]
        self._text(text[:cut], out)
        return ""

    def _in_call(self, text: str, out: list[Delta]) -> str:
        body, closed, after = text.partition(CLOSE)
        if not closed:
            self._held = text
            return ""
        self._inside = False
        if call := read_call(body, self._names):
            self._call(call, out)
        else:
            self._text(OPEN + body + CLOSE, out)
        return after

    def _text(self, text: str, out: list[Delta]) -> None:
        if text:
            out.append(TextDelta(text, self._logprobs))
            self._logprobs = ()

    def _call(self, call: tuple[str, str], out: list[Delta]) -> None:
        self._logprobs = ()
        out.append(CallStarted(self.calls, call[0]))
        if call[1]:
            out.append(CallArguments(self.calls, call[1]))
        self.calls += 1


def read_call(text: str, names: frozenset[str]) -> tuple[str, str] | None:
    """Name and arguments of a call written as JSON; None when it is no call to one of the functions."""
    try:
        call = msgspec.json.decode(text.strip(), type=_Call)
    except msgspec.DecodeError:
        return None
    arguments = call.text()
    return (call.name, arguments) if call.name in names and is_object(arguments) else None


class _Call(msgspec.Struct):
    name: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")

    def text(self) -> str:
        """The arguments as the model wrote them; some models write them as a string of JSON."""
        raw = bytes(self.arguments).decode()
        if raw.startswith('"'):
            return str(msgspec.json.decode(raw))
        return raw
