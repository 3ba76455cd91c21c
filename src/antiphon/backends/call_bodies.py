"""A call that is being written as text, from the end of its head on: where it ends, and what it says."""

import re
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from antiphon.backends.offer import Offer
from antiphon.backends.python_calls import MAX_SIZE, read_python
from antiphon.backends.syntaxes import Syntax
from antiphon.backends.tagged_arguments import TAGGED, beginning, whole
from antiphon.backends.value_scanner import MarkScanner, PythonScanner, StrictScanner, ValueScanner
from antiphon.model.json_text import is_object

Said = tuple[str, str]
"""The name of a function on offer, and the arguments as a JSON object."""

MAX_BODY: Final = 4 * 1024 * 1024
"""Characters. What is longer is text."""
_TRIES: Final = 8
"""How many marks that look like the end may stand in a value."""


class CallBody:
    """The body of one call, or of a list of calls; `begin` is the text of its head."""

    __slots__ = ("_function", "_limit", "_offer", "_pieces", "_scanner", "_size", "_tries", "syntax")

    def __init__(self, syntax: Syntax, name: str, begin: str, offer: Offer) -> None:
        self.syntax = syntax
        self._offer = offer
        self._function = None if syntax.reads in ("calls", "python") else offer.find(name)
        self._pieces = [begin]
        self._size = 0
        self._limit = MAX_SIZE if syntax.reads == "python" else MAX_BODY
        self._tries = _TRIES
        self._scanner = _scanner(syntax)

    @property
    def text(self) -> str:
        """All of it as it was written, the head included."""
        return "".join(self._pieces)

    def feed(self, text: str) -> tuple[str, Sequence[Said] | None] | None:
        """None while the body goes on; else the text behind it, and its calls (None: it is no call)."""
        while text:
            taken = self._scanner.feed(text[: self._limit - self._size])
            self._pieces.append(taken)
            self._size += len(taken)
            text = text[len(taken) :]
            if self._scanner.broken or self._size >= self._limit:
                return text, None
            if self._scanner.done:
                calls = self._calls()
                if calls is not None or not self._goes_on():
                    return text, calls
        return None

    def rest(self, cut: bool) -> Sequence[Said] | None:
        """The calls, now that nothing follows; of one that is cut off, as much as there is."""
        calls = self._calls()
        return self._half() if calls is None and cut else calls

    def _goes_on(self) -> bool:
        """Whether the mark that was found may have stood in a value."""
        self._tries -= 1
        return self._tries > 0 and isinstance(self._scanner, MarkScanner) and self._scanner.go_on()

    def _body(self) -> str:
        body = "".join(self._pieces[1:])
        mark = self._scanner.mark if isinstance(self._scanner, MarkScanner) and self._scanner.done else ""
        return body.removesuffix(mark)

    def _calls(self) -> Sequence[Said] | None:
        body = self._body()
        if self._function is None:
            found = read_python(body) if self.syntax.reads == "python" else read_calls(body)
            return known(found, self._offer)
        if tagged := TAGGED.get(self.syntax.reads):
            arguments = whole(tagged(body, self._function))
        else:
            arguments = body if is_object(body) else None
        return None if arguments is None else [(self._function.name, arguments)]

    def _half(self) -> Sequence[Said] | None:
        body = self._body()
        if self._function is None:
            return known(_first_of_calls(body), self._offer)
        tagged = TAGGED.get(self.syntax.reads)
        arguments = beginning(tagged(body, self._function)) if tagged else body
        return [(self._function.name, arguments)]


def _scanner(syntax: Syntax) -> ValueScanner | MarkScanner:
    if syntax.ends:
        return MarkScanner(syntax.ends)
    return PythonScanner() if syntax.reads == "python" else StrictScanner()


def known(calls: Sequence[Said] | None, offer: Offer) -> Sequence[Said] | None:
    """The calls under the names that were offered; None when one of them is of no such function."""
    found = []
    for name, arguments in calls or ():
        function = offer.find(name)
        if function is None:
            return None
        found.append((function.name, arguments))
    return found or None


# ---- JSON -------------------------------------------------------------------------------------------


class _Call(Struct):
    name: str
    arguments: Raw | UnsetType = UNSET
    parameters: Raw | UnsetType = UNSET

    @property
    def text(self) -> str:
        """The arguments as the model wrote them; some models write them as a string of JSON."""
        raw = next((each for each in (self.arguments, self.parameters) if each is not UNSET), Raw(b"{}"))
        text = bytes(raw).decode()
        if text.startswith('"'):
            return str(msgspec.json.decode(text))
        return "{}" if text == "null" else text


def read_calls(text: str) -> Sequence[Said] | None:
    """A call written as a JSON object with its name, or a list of them."""
    try:
        said = msgspec.json.decode(text.strip(), type=list[_Call] | _Call)
        calls = [(call.name, call.text) for call in (said if isinstance(said, list) else [said])]
    except (msgspec.DecodeError, RecursionError):
        return None
    return calls if all(is_object(arguments) for _, arguments in calls) else None


_FIRST = re.compile(
    r'\s*\[?\s*\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"([^"\\]*)"\s*,\s*'
    r'"(?:arguments|parameters)"\s*:\s*(?=\{)',
    re.S,
)


def _first_of_calls(body: str) -> Sequence[Said] | None:
    found = _FIRST.match(body)
    return [(found[1], ValueScanner().feed(body[found.end() :]))] if found else None
