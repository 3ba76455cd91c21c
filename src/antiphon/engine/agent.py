"""One of several agents of a response: what it reads next, and what it waits for."""

import asyncio

from antiphon.model import Message, Turn
from antiphon.tools.provider import ApprovedCall


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
