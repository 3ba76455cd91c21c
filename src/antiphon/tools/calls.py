"""The two ways in which a call becomes an item of another type than function_call: while it is written, or
when it is whole."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from antiphon.protocol.errors import UpstreamError
from antiphon.stream.machine import ItemStatus, OpenItem
from antiphon.tools.base import InvalidCall
from antiphon.tools.partial import Piece, StringReader, decode

Arguments = dict[str, Any]


class WrittenCall(ABC):
    """A call that is told while the model writes it. Its item is opened when the first text of it is there
    that the client is told, so a call that is no good may still be refused before."""

    item: OpenItem | None = None

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._reader = StringReader()

    def arguments(self, delta: str) -> None:
        self._pieces.append(delta)
        for piece in self._reader.feed(delta):
            self.take(piece)

    def close(self, status: ItemStatus = "completed") -> None:
        arguments = decode("".join(self._pieces))
        fault = arguments if isinstance(arguments, str) else self.fault(arguments)
        if fault is not None and self.item is None:
            raise InvalidCall(fault)
        if fault is not None:
            raise UpstreamError(f"The model wrote a call that is not valid: {fault}")
        assert isinstance(arguments, dict)
        self.conclude(arguments)

    @abstractmethod
    def take(self, piece: Piece) -> None:
        """Tell a piece of a string, if the client is told it."""

    @abstractmethod
    def fault(self, arguments: Arguments) -> str | None:
        """What is wrong with the whole, in words for the model."""

    @abstractmethod
    def conclude(self, arguments: Arguments) -> None:
        """Close the item; open it before, if nothing did."""


class WholeCall:
    """A call of which nothing is told before it is whole and checked."""

    def __init__(self, tell: Callable[[Arguments], None]) -> None:
        self._tell = tell
        self._pieces: list[str] = []

    def arguments(self, delta: str) -> None:
        self._pieces.append(delta)

    def close(self, status: ItemStatus = "completed") -> None:
        arguments = decode("".join(self._pieces))
        assert isinstance(arguments, dict), "the tool did not check its call"
        self._tell(arguments)
