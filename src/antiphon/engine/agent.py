"""One of several agents of a response: what it reads next, and what it waits for."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, NamedTuple

from antiphon.engine.emission import Flush
from antiphon.engine.turn_writer import Phase, TurnWriter
from antiphon.model import Message, Turn
from antiphon.tools.provider import ApprovedCall


class Takes(NamedTuple):
    """What an agent does, carried out."""

    turn: Callable[[Turn, Flush, Phase], Awaitable[TurnWriter]]
    approved: Callable[[Turn, Sequence[ApprovedCall], Flush], Awaitable[Turn]]
    """Makes calls that were approved; gives the turn that reads what came of them."""
    compact: Callable[[Turn, Flush], Awaitable[None]]
    """Compacts what a turn reads, as an item."""


class Agent:
    """An agent, at work or idle."""

    def __init__(self, name: str, turn: Turn) -> None:
        self.name = name
        self.turn = turn
        """The one that it takes next."""
        self.approved: list[ApprovedCall] = []
        """Calls that a user has consented to: they are made before that turn."""
        self.task = ""
        self.mail: list[tuple[str, str]] = []
        """Authors and texts of what it has not read."""
        self.news = asyncio.Event()
        """It has mail, or need not wait any longer."""
        self.owed: set[str] = set()
        """Its calls that the client answers."""
        self.early: set[str] = set()
        """Calls of the turn that it is in which the client has answered already."""
        self.answered = asyncio.Event()
        self.answers: list[Message] = []
        self.running: asyncio.Task[str | None] | None = None
        self.blocked = False
        """Whether it waits for others or for the client."""
        self.due = False
        """Whether it has mail that it goes on for, should it just be ending."""
        self.unreported = False
        """Whether it was interrupted by another than its parent, which does not know."""

    @property
    def parent(self) -> str:
        return self.name.rpartition("/")[0]

    @property
    def status(self) -> str:
        if self.running is None:
            return "idle"
        return "waits for the client" if self.owed else "waits" if self.blocked else "works"


async def all_ended(tasks: Collection[asyncio.Task[Any]]) -> None:
    """When all of them have, also when this task is cancelled meanwhile: then it raises that."""
    cancelled: asyncio.CancelledError | None = None
    while not all(task.done() for task in tasks):
        try:
            await asyncio.wait(tasks)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
