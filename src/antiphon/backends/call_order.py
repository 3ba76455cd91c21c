"""The calls of one answer in their order: those that the server knew, and those that were found in text."""

from typing import Any

from msgspec.structs import replace

from antiphon.model import CallArguments, CallStarted, Delta, OpaqueDelta
from antiphon.model.json_text import read_json


class _Native:
    """A call that the server knew."""

    __slots__ = ("name", "pieces", "repeated")

    def __init__(self, name: str) -> None:
        self.name = name
        self.pieces: list[str] = []
        self.repeated = False
        """Whether the text has it too."""

    @property
    def said(self) -> tuple[str, Any]:
        return self.name, _value("".join(self.pieces))


class CallOrder:
    """Numbers all calls anew. What a server both knew and left in the text is one call."""

    __slots__ = ("_early", "_found", "_native", "_next", "_numbers", "_waiting", "found")

    def __init__(self) -> None:
        self.found = 0
        """How many calls were found in text."""
        self._early: list[OpaqueDelta] = []
        """What came of calls that have not begun."""
        self._next = 0
        self._numbers: dict[int, int] = {}
        self._native: list[_Native] = []
        self._found: list[tuple[str, Any]] = []
        """What was found in text, and has not come from the server."""
        self._waiting: list[CallStarted | CallArguments] = []
        """A call of the server that may be one of these."""

    def native(self, delta: CallStarted | CallArguments, out: list[Delta]) -> None:
        if isinstance(delta, CallStarted):
            self.settle(out)
            self._native.append(_Native(delta.name))
            if any(name == delta.name for name, _ in self._found):
                self._waiting.append(delta)
                return
        else:
            self._native[-1].pieces.append(delta.text)
            if self._waiting:
                self._waiting.append(delta)
                return
        self._pass_on(delta, out)

    def opaque(self, delta: OpaqueDelta, out: list[Delta]) -> None:
        """What goes back with a call of the server's."""
        number = None if delta.call is None else self._numbers.get(delta.call)
        if number is None:
            self._early.append(delta)
        else:
            out.append(replace(delta, call=number))

    def text(self, name: str, arguments: str, out: list[Delta]) -> None:
        """A call that was found in text."""
        self.settle(out)
        said = name, _value(arguments)
        for call in self._native:
            if call.name == name and not call.repeated and call.said == said:
                call.repeated = True
                return
        self.found += 1
        self._found.append(said)
        out.append(CallStarted(self._next, name))
        if arguments:
            out.append(CallArguments(self._next, arguments))
        self._next += 1

    def settle(self, out: list[Delta]) -> None:
        """No more comes of the last call of the server."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        call = self._native[-1]
        if call.said in self._found:
            self._found.remove(call.said)
            call.repeated = True
            return
        for delta in waiting:
            self._pass_on(delta, out)

    def _pass_on(self, delta: CallStarted | CallArguments, out: list[Delta]) -> None:
        if isinstance(delta, CallStarted):
            self._numbers[delta.index] = self._next
            out += (replace(each, call=self._next) for each in self._early if each.call == delta.index)
            self._early.clear()
            self._next += 1
        number = self._numbers.get(delta.index)
        if number is not None:
            out.append(delta if number == delta.index else replace(delta, index=number))


def _value(arguments: str) -> Any:
    """What arguments say, however they are written."""
    return read_json(arguments or "{}", arguments)
