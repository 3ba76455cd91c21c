"""The calls of an answer, one after another however the upstream mixes their pieces."""

from typing import Any

import msgspec
from msgspec import Struct

from antiphon.model import CallArguments, CallStarted, Delta
from antiphon.protocol.errors import UpstreamError


class FunctionPiece(Struct, frozen=True, gc=False):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The arguments as text: some servers send them as an object."""
        if isinstance(self.arguments, dict):
            return msgspec.json.encode(self.arguments).decode()
        return self.arguments or ""


class CallPiece(Struct, frozen=True, gc=False):
    function: FunctionPiece | None = None
    index: int | None = None
    id: str | None = None


class _Open:
    """A call under way."""

    __slots__ = ("arguments", "id", "key", "name", "passed_on", "started")

    def __init__(self, key: int | None) -> None:
        self.key = key
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.passed_on = 0
        """How many pieces of the arguments were passed on."""
        self.started = False

    def complete(self) -> bool:
        try:
            return isinstance(msgspec.json.decode("".join(self.arguments)), dict)
        except msgspec.DecodeError:
            return False

    def named(self, name: str) -> None:
        """A name may come whole, again and again, growing, or in pieces."""
        if self.arguments or name == self.name:
            return
        self.name = name if name.startswith(self.name) else self.name + name


class Calls:
    """One call is passed on at a time: the pieces of later ones wait until it is complete."""

    __slots__ = ("_calls", "_current")

    def __init__(self) -> None:
        self._calls: list[_Open] = []
        self._current = 0

    def __bool__(self) -> bool:
        return bool(self._calls)

    def feed(self, piece: CallPiece, out: list[Delta]) -> None:
        function = piece.function or FunctionPiece()
        call = self._find(piece, function.name or "")
        call.id = call.id or piece.id or ""
        if function.name:
            call.named(function.name)
        if text := function.text:
            call.arguments.append(text)
        self._tell(out)

    def finish(self, out: list[Delta]) -> None:
        """The answer ends: what waited is passed on."""
        while self._current < len(self._calls):
            self._tell_one(out, last=True)
            self._current += 1

    def _find(self, piece: CallPiece, name: str) -> _Open:
        """The call that a piece belongs to, a new one if it belongs to none."""
        for call in reversed(self._calls):
            if piece.index is not None:
                if call.key == piece.index and not self._reused(call, piece, name):
                    return call
            elif (piece.id and piece.id == call.id) or not (piece.id or name):
                return call
        self._calls.append(_Open(piece.index))
        return self._calls[-1]

    def _reused(self, call: _Open, piece: CallPiece, name: str) -> bool:
        """Some servers give every call the index 0. Others give every piece a new id, so that an id
        alone does not say: only a name next to it, when the call so far lacks nothing."""
        other = bool(name and piece.id and call.id and piece.id != call.id)
        return other and (not call.arguments or call.complete())

    def _tell(self, out: list[Delta]) -> None:
        self._tell_one(out)
        while self._current < len(self._calls) - 1 and self._calls[self._current].complete():
            self._tell_one(out, last=True)
            self._current += 1
            self._tell_one(out)

    def _tell_one(self, out: list[Delta], last: bool = False) -> None:
        """What can be passed on of the call whose turn it is. Its name is whole when arguments follow."""
        call = self._calls[self._current]
        if not call.started and (call.arguments or last):
            if not call.name:
                raise UpstreamError("The upstream sent a function call without a name.")
            call.started = True
            out.append(CallStarted(self._current, call.name, call.id))
        out += [CallArguments(self._current, text) for text in call.arguments[call.passed_on :]]
        call.passed_on = len(call.arguments)
