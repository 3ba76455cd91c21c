"""Tools that somebody must be asked for first."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from antiphon.model import Message
from antiphon.protocol.errors import ApiError
from antiphon.protocol.item import Item
from antiphon.protocol.tools import AllowedCallers
from antiphon.stream.machine import Machine
from antiphon.tools.base import Tool, ToolCall


class ApprovedCall(NamedTuple):
    """A call that somebody has consented to."""

    request: str
    """The id of the request for consent."""
    label: str
    """Of the provider whose tool it is."""
    name: str
    """The tool's own name."""
    arguments: str
    agent: str | None
    """Which of several agents made it."""


class ToolProvider(ABC):
    """An entry of `tools` whose tools are known when somebody was asked: before the first turn, unless the
    context has the answer already."""

    kind: str
    """The type of its entry."""

    @property
    @abstractmethod
    def label(self) -> str:
        """What its items and choices of it call it."""

    @property
    @abstractmethod
    def callers(self) -> AllowedCallers | None:
        """Who may call its tools, as its entry says."""

    @property
    @abstractmethod
    def known(self) -> bool:
        """Whether it need not be asked any more."""

    @abstractmethod
    def remember(self, item: Item) -> bool:
        """Take the tools from an item of the context, if it lists this provider's. Whether it did."""

    @property
    @abstractmethod
    def fault(self) -> ApiError | None:
        """Why it has no tools, when it was asked in vain: for a client that can still be refused."""

    @abstractmethod
    async def reach(self) -> None:
        """Ask, and emit nothing of it yet. Nothing is raised but cancellation."""

    @abstractmethod
    def begin(self, machine: Machine) -> None:
        """It is about to be asked."""

    @abstractmethod
    async def ask(self) -> None:
        """Ask, unless it was reached already, and emit what came of it. Nothing is raised but
        cancellation."""

    @abstractmethod
    def note(self) -> Sequence[Message]:
        """What the model must know of how it went."""

    @abstractmethod
    def tools(self) -> Sequence[tuple[str, Tool]]:
        """Its tools, each with its own name."""

    @abstractmethod
    def approved(self, call: ApprovedCall) -> ToolCall:
        """A call that may be made now, whole."""
