"""Hosted tools that nobody runs here yet: accepted, offered to the model, and every call fails in words.

So a client that always sends such a tool gets its answer, and both the model and the client see that the
call was made and failed: nothing is left out in silence. Requiring such a tool is refused.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from antiphon.model import Function, TextPart
from antiphon.protocol.hosted_items import (
    CodeInterpreterCall,
    FileSearchCall,
    ImageGenerationCall,
    Search,
    WebSearchCall,
)
from antiphon.protocol.item import StatusItem
from antiphon.protocol.tools import BaseTool
from antiphon.stream.machine import ItemStatus, Machine, OpenItem
from antiphon.tools.base import Executor, ToolContext, ToolResult
from antiphon.tools.partial import decode


class Kind(NamedTuple):
    """A type of tool that is not run yet."""

    name: str
    about: str
    argument: str
    item: StatusItem
    """The item of a call, before it has an id."""
    told: Callable[[StatusItem, str], StatusItem]
    """The item with what the model asked for."""


WEB_SEARCH = Kind(
    "web_search",
    "Searches the web.",
    "query",
    WebSearchCall(status="in_progress"),
    lambda item, query: replace(item, action=Search(query=query)),
)
FILE_SEARCH = Kind(
    "file_search",
    "Searches the user's files.",
    "query",
    FileSearchCall(status="in_progress", queries=[]),
    lambda item, query: replace(item, queries=[query]),
)
CODE_INTERPRETER = Kind(
    "code_interpreter",
    "Runs Python code.",
    "code",
    CodeInterpreterCall(status="in_progress", container_id="", code=""),
    lambda item, code: replace(item, code=code),
)
IMAGE_GENERATION = Kind(
    "image_generation",
    "Makes an image.",
    "prompt",
    ImageGenerationCall(status="in_progress"),
    lambda item, prompt: replace(item, revised_prompt=prompt),
)


class UnsupportedTool:
    """A tool of such a type."""

    def __init__(self, kind: Kind, _tool: BaseTool, _context: ToolContext) -> None:
        self.kind = kind

    def functions(self) -> Sequence[Function]:
        name = self.kind.argument
        parameters = {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}
        return (Function(self.kind.name, self.kind.about, parameters),)

    def executor(self, name: str) -> Executor:
        return "server"

    def buffers(self, name: str) -> bool:
        return False

    def check(self, name: str, arguments: str) -> str | None:
        return None

    def open(self, machine: Machine, name: str, call_id: str) -> "FailingCall":
        item = self.kind.item.stored(machine.new_id)
        return FailingCall(machine.open(OpenItem, item), item, self.kind)

    async def run(self, name: str, arguments: str) -> ToolResult:
        said = f"The tool {self.kind.name} is not available on this server. Go on without it, and say so."
        return ToolResult((TextPart(said),))


class FailingCall:
    """A call that will fail."""

    def __init__(self, handle: OpenItem, item: StatusItem, kind: Kind) -> None:
        self._handle = handle
        self._item = item
        self._kind = kind
        self._pieces: list[str] = []

    def arguments(self, delta: str) -> None:
        self._pieces.append(delta)

    def close(self, status: ItemStatus = "completed") -> None:
        """Nothing more is told before it fails."""

    def conclude(self, result: ToolResult) -> None:
        value = decode("".join(self._pieces))
        asked = str(value.get(self._kind.argument, "")) if isinstance(value, dict) else ""
        self._handle.finish(replace(self._kind.told(self._item, asked), status="failed"))


def unsupported(kind: Kind) -> Callable[[BaseTool, ToolContext], UnsupportedTool]:
    """What resolves tools of the type."""
    return partial(UnsupportedTool, kind)
