"""The ways in which a call becomes an item of another type than function_call: while it is written, or when
it is whole."""

from abc import ABC, abstractmethod
from typing import Any

from antiphon.model import CallRun
from antiphon.stream.machine import Machine
from antiphon.tools.base import ToolCall
from antiphon.tools.partial import Path, Piece, StringReader, decode

Arguments = dict[str, Any]


class ReadCall(ToolCall, ABC):
    """A call whose arguments are read here when it is whole."""

    def validate(self) -> str | None:
        arguments = decode(self.arguments)
        return arguments if isinstance(arguments, str) else self.fault(arguments)

    @abstractmethod
    def fault(self, arguments: Arguments) -> str | None:
        """What is wrong with the whole, in words for the model."""


class WrittenCall(ReadCall):
    """A call that is emitted while the model writes it. Its item is added when the first text of it is there
    that the client gets, so a call that is no good may still be refused before."""

    def __init__(self, name: str, call_id: str) -> None:
        super().__init__(name, call_id)
        self._reader = StringReader()
        self._texts: dict[Path, list[str]] = {}

    def feed(self, delta: str) -> None:
        self._pieces.append(delta)
        for piece in self._reader.feed(delta):
            self._texts.setdefault(piece.path, []).append(piece.text)
            if self._machine is not None:
                self.take(piece, self._machine)

    def start(self, machine: Machine) -> None:
        self._machine = machine
        for piece in StringReader().feed(self.arguments):
            self.take(piece, machine)

    def text_at(self, *path: str | int) -> str:
        """The text that was read at a place. It is that of several strings where a member is there more than
        once."""
        return "".join(self._texts.get(path, ()))

    @abstractmethod
    def take(self, piece: Piece, machine: Machine) -> None:
        """Emit a piece of a string, if the client gets it."""


class WholeCall(ReadCall):
    """A call of which nothing is emitted before it is whole and valid."""

    held = True

    def feed_run(self, run: CallRun) -> None:
        self.feed(run.text)

    def fault(self, arguments: Arguments) -> str | None:
        return None

    @property
    def decoded(self) -> Arguments:
        """The arguments of a call that is valid."""
        arguments = decode(self.arguments)
        assert isinstance(arguments, dict), "it was not validated"
        return arguments
