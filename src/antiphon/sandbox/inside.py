"""What a long-lived program in a sandbox, as its Python is, is given: processes, and a folder for sockets.

What runs inside is not trusted: it may end when it likes, and put anything into the folder, links too.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

SOCKETS = "/run/antiphon"
"""Where, inside, the folder is that both sides see."""


class Process(ABC):
    """A process inside, and the group that it leads."""

    @property
    @abstractmethod
    def pid(self) -> int:
        """As it is known inside."""

    @abstractmethod
    async def signal(self, number: int) -> None:
        """Send a signal to it; nothing, when it has ended. Raises SandboxEnded."""

    @abstractmethod
    async def kill(self) -> None:
        """End it with all of its group, and wait for that. Raises SandboxEnded."""

    @abstractmethod
    async def wait(self) -> int:
        """Its exit code; below zero: the signal that ended it. Raises SandboxEnded."""


class Inside(ABC):
    """The inside of a sandbox."""

    @property
    @abstractmethod
    def python(self) -> str | None:
        """The interpreter of the environment, as a path inside; None: the sandbox was started without."""

    @property
    @abstractmethod
    def sockets(self) -> Path:
        """`SOCKETS`, as this process sees it. Short enough for the address of a socket, whatever the folder's
        true path is, and good in this process alone."""

    @property
    @abstractmethod
    def ended(self) -> str | None:
        """Why the sandbox is gone; None: it lives."""

    @abstractmethod
    async def spawn(self, argv: Sequence[str], environment: Mapping[str, str]) -> Process:
        """Start a program in `DATA`, with `environment` on top of the sandbox's own. What it prints is lost.
        Raises SandboxEnded, SandboxError."""

    @abstractmethod
    def memory_kills(self) -> int:
        """How many processes were ended so far because the sandbox had no memory left; 0 where nobody
        counts."""

    @abstractmethod
    async def end(self, why: str) -> None:
        """End the sandbox; calls raise SandboxEnded with these words."""
