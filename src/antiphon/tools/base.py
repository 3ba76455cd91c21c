"""What a tool is: everything about a tool type stands in its own file, behind these types.

A tool shows itself to the model as functions. A call of one is one object, from the first piece of its
arguments to its end: it says which item it becomes, and, when it is ours to run, runs. How past items of a
tool read in a later turn is a function of the item alone (`registry.py`), since the tool may be gone by then.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from antiphon.model import CallRun, Function, Message, Part
from antiphon.protocol.content import ProgramCaller
from antiphon.protocol.item import Item
from antiphon.protocol.tools import Tool as WireTool
from antiphon.stream.filters import TextFilter
from antiphon.stream.machine import Machine, OpenItem
from antiphon.tools.emitter import Emitter

Write = Callable[[str], None]
Executor = Literal["client", "server", "approval", "program"]
"""Who acts on a call: the client (the response completes, and the client answers with an output item),
we ourselves (we run it and the model goes on), the client when it consents first, or a program that the call
brings: its own calls are acted on."""


class GivenFile(Protocol):
    """A file or an image that the input has attached."""

    @property
    def name(self) -> str:
        """No other file of the input has it."""

    async def read(self) -> bytes:
        """Raises InvalidRequest when it cannot be read any more."""


class ToolResult(Struct, frozen=True):
    """How a call of ours ended. A call that failed has a result too: the model reads it and goes on."""

    parts: tuple[Part, ...]
    """What the model reads."""


class ToolCall:
    """A call of a function. Whoever writes the turn feeds it what the model writes, lets it emit when nothing
    before it is open (`start`), and ends it when it is whole and valid."""

    executor: Executor = "client"
    held = False
    """Whether it must be whole and valid before any of it is emitted."""
    item: OpenItem | None = None
    """Its item, once it was added to the output."""
    caller: ProgramCaller | None = None
    """The program that makes it; None: the model itself does. Set before it may emit."""

    def __init__(self, name: str, call_id: str) -> None:
        self.name = name
        """Of the function, as the model wrote it."""
        self.id = call_id
        self.ended = False
        self._pieces: list[str] = []
        self._machine: Machine | None = None
        self._write: Write | None = None

    @property
    def arguments(self) -> str:
        """All that it was fed."""
        return "".join(self._pieces)

    @property
    def started(self) -> bool:
        return self._machine is not None

    def feed(self, delta: str) -> None:
        """A piece of the arguments' JSON, as the model writes them."""
        self._pieces.append(delta)
        if write := self._write:
            write(delta)

    def feed_run(self, run: CallRun) -> None:
        """Several pieces."""
        for text in run.texts:
            self.feed(text)

    def start(self, machine: Machine) -> None:
        """From now on it may emit. What it was fed before is emitted at once."""
        self._machine = machine
        self._write = self.begin(machine)
        if self._pieces and self._write is not None:
            self._write(self.arguments)

    def end(self) -> None:
        """It is whole and valid."""
        assert self._machine is not None, "it was not started"
        self.ended = True
        self.conclude(self._machine)

    def validate(self) -> str | None:
        """What is wrong with the call when it is whole, in words for the model, which is asked again; None
        when nothing is."""
        return None

    async def check(self) -> str | None:
        """What is wrong with a held call that is valid, where that takes its time to find out; None when
        nothing is."""
        return None

    # ---- what a tool says ----

    def begin(self, machine: Machine) -> Write | None:
        """It may emit now: add the item, if enough is known of it, and give what emits pieces of the
        arguments; None: they are not emitted."""
        return None

    def conclude(self, machine: Machine) -> None:
        """Emit what the whole call gives. A call of the client's closes its item."""


class ServerCall(ToolCall, ABC):
    """A call that we run."""

    executor: Executor = "server"

    @abstractmethod
    async def run(self, emit: Emitter) -> ToolResult:
        """Run it. It emits its own events, closes its item, and may add others. Whatever goes wrong is a
        ToolResult; nothing is raised but cancellation. It may be running before it may emit: what it emits
        then waits, and `item` is not there yet."""


class Tool(ABC):
    """One entry of `tools`, resolved, for one response."""

    executor: Executor = "client"
    unavailable: str | None = None
    """Why it is not offered, in words for the client, with what to set up; None: it is. Known when it was
    compiled."""

    returns_json = False
    """Whether what it answers is JSON, which programs get as the value that it is."""

    unheeded: Sequence[str] = ()
    """The members of the entry that what runs it does not take. Known when it was checked."""

    takes_pictures = False
    """Whether it works with the images that the input has attached: then a model that reads none has it work
    with them."""

    takes_files = False
    """Whether it works with the files that the input has attached."""

    @abstractmethod
    def functions(self) -> Sequence[Function]:
        """The tool, as functions that any model can call."""

    @abstractmethod
    def call(self, name: str, call_id: str) -> ToolCall:
        """A call of one of its functions, by the name that the model used."""

    async def compile(self) -> None:
        """Compile what the client has defined: a schema, or a grammar. Raises InvalidRequest for one that
        cannot be used."""
        return

    async def check(self) -> None:
        """See to it that what the entry names is there. Raises the ApiError with which the request is
        refused."""
        return

    async def ready(self) -> None:
        """Look up what it works with, when it has seen the context: before the first turn, also of a response
        that goes on after a crash."""
        return

    async def make(self) -> None:
        """Make what a response needs from its first event on. Raises the ApiError with which the request is
        refused."""
        return

    def shown(self, entry: WireTool) -> WireTool:
        """The entry of `tools` as the response shows it."""
        return entry

    def take_files(self, files: Sequence[GivenFile]) -> None:
        """The files that the input has attached."""
        return

    def remember(self, item: Item) -> None:
        """Take note of an item of the context."""
        return

    def read(self, item: Item) -> Sequence[Message] | None:
        """How such an item reads in this response; None: as it reads without the tool (`registry.py`)."""
        return None

    def filter(self) -> TextFilter | None:
        """What a text that the model begins now is read through: to annotate what it took from this tool."""
        return None
