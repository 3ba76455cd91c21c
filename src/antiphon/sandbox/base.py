"""What runs code from a model: a driver, and the sandboxes that it starts.

A sandbox has a folder for files, a Python that keeps its state, and a shell. It knows nothing of responses,
of containers as the API shows them, or of who asks. It lasts as long as its process; who wants its files
later reads them out.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, AsyncIterator, Sequence

from msgspec import Struct

DATA = "/mnt/data"
"""Where the files are that go in and come out."""
SKILLS = "/home/oai/skills"
"""Where skills are, each in a folder of its own."""


class SandboxError(Exception):
    """Code could not be run. The message says why, in words for people and models alike."""


class SandboxUnavailable(SandboxError):
    """Nothing can run on this machine; the message names what to install or to set."""


class SandboxEnded(SandboxError):
    """The sandbox is gone, with all that ran in it: closed, killed, or over one of its limits."""


class Limits(Struct, frozen=True, kw_only=True):
    """What a sandbox may use."""

    memory_bytes: int = 1 << 30
    disk_bytes: int = 512 << 20
    """In `DATA` and all other places together."""
    processes: int = 128


class Wanted(Struct, frozen=True, kw_only=True):
    """What a sandbox is started as."""

    name: str
    """Of letters, digits and `_`, up to 64; no other that lives has it."""
    limits: Limits = Limits()
    domains: Sequence[str] = ()
    """Hosts that it may reach over HTTPS; none: it has no network."""


class Logs(Struct, frozen=True):
    """What was printed, to either stream, and what the last expression is worth."""

    text: str


class Picture(Struct, frozen=True):
    """A figure or an image that was displayed."""

    media_type: str
    data: bytes


class Execution(Struct, frozen=True, kw_only=True):
    """How code ended."""

    outputs: Sequence[Logs | Picture] = ()
    """In the order in which they came."""
    error: str | None = None
    """The traceback of what the code raised, or why it was stopped; None: it ran to its end."""


class CommandResult(Struct, frozen=True, kw_only=True):
    """How a command ended."""

    stdout: str
    stderr: str
    exit_code: int | None
    """None: it took longer than it may, and was stopped."""


class Entry(Struct, frozen=True, kw_only=True):
    """A regular file in `DATA`."""

    path: str
    """Absolute, inside the sandbox."""
    size: int
    modified_ns: int


class Sandbox(ABC):
    """One that runs. Calls may come at the same time; those that need the Python wait for each other."""

    @property
    @abstractmethod
    def ended(self) -> str | None:
        """Why it is gone; None: it lives."""

    @abstractmethod
    async def execute(self, code: str, seconds: float) -> Execution:
        """Run code in its Python, which is interrupted after so many seconds. Raises SandboxEnded."""

    @abstractmethod
    async def run(
        self, commands: Sequence[str], seconds: float, most_characters: int
    ) -> Sequence[CommandResult]:
        """Run commands of its shell one after another, in `DATA`, each for so many seconds at most. Of each
        stream the first and the last characters are kept. Raises SandboxEnded."""

    @abstractmethod
    async def write(self, path: str, content: AsyncIterable[bytes]) -> None:
        """Put a file into `DATA` or `SKILLS`, in place of what is there; folders are made. Raises
        SandboxError for a path that leads elsewhere, or when there is no room."""

    @abstractmethod
    async def remove(self, path: str) -> None:
        """Delete a file, if it is there."""

    @abstractmethod
    async def files(self) -> Sequence[Entry]:
        """The files in `DATA` and below. Links and whatever else is no regular file are not among them."""

    @abstractmethod
    def read(self, path: str) -> AsyncIterator[bytes]:
        """A file of `DATA`, piece by piece. No link is followed. Raises FileNotFoundError."""

    @abstractmethod
    async def close(self) -> None:
        """End it, and all that runs in it."""


class Driver(ABC):
    """Starts sandboxes. One for the server."""

    @abstractmethod
    async def check(self) -> str | None:
        """Why nothing can run here, with what helps; None: all is there. What it takes to know is done
        once."""

    @abstractmethod
    async def start(self, wanted: Wanted) -> Sandbox:
        """Start one. Raises SandboxUnavailable."""

    @abstractmethod
    async def close(self) -> None:
        """End all that it started."""
