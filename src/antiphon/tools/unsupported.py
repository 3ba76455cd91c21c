"""Hosted tools that nobody runs here yet: accepted, offered to the model, and every call fails in words.

So a client that always sends such a tool gets its answer, and both the model and the client see that the
call was made and failed: nothing is left out in silence. Requiring such a tool is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from msgspec import UNSET

from antiphon.model import Function, TextPart
from antiphon.protocol.hosted_items import (
    CodeInterpreterCall,
    ImageGenerationCall,
)
from antiphon.protocol.item import StatusItem
from antiphon.protocol.tools import BaseTool
from antiphon.stream.items import open_item
from antiphon.stream.machine import Machine
from antiphon.tools.base import ServerCall, Tool, ToolResult, Write
from antiphon.tools.context import ToolContext
from antiphon.tools.emitter import Emitter
from antiphon.tools.partial import decode


class Kind(NamedTuple):
    """A type of tool that is not run yet."""

    name: str
    about: str
    argument: str
    item: StatusItem
    """The item of a call, before it has an id."""
    asked: Callable[[str], Mapping[str, Any]]
    """The members of the item that show what the model asked for."""


CODE_INTERPRETER = Kind(
    "code_interpreter",
    "Runs Python code.",
    "code",
    CodeInterpreterCall(status="in_progress", container_id="", code=""),
    lambda code: {"code": code},
)
IMAGE_GENERATION = Kind(
    "image_generation",
    "Makes an image.",
    "prompt",
    ImageGenerationCall(status="in_progress", result=UNSET),
    lambda prompt: {"revised_prompt": prompt, "result": None},
)


NOT_SET_UP = tuple(kind.name for kind in (CODE_INTERPRETER, IMAGE_GENERATION))
"""The types of tools that nobody runs here."""


class UnsupportedTool(Tool):
    """A tool of such a type."""

    executor = "server"
    unavailable = "this server does not run it yet"

    def __init__(self, kind: Kind, _tool: BaseTool, _context: ToolContext) -> None:
        self.kind = kind

    def functions(self) -> Sequence[Function]:
        name = self.kind.argument
        parameters = {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}
        return (Function(self.kind.name, self.kind.about, parameters),)

    def call(self, name: str, call_id: str) -> "FailingCall":
        return FailingCall(self.kind, name, call_id)


class FailingCall(ServerCall):
    """A call that fails."""

    def __init__(self, kind: Kind, name: str, call_id: str) -> None:
        super().__init__(name, call_id)
        self._kind = kind

    def begin(self, machine: Machine) -> Write | None:
        self.item = open_item(machine, self._kind.item.stored(machine.new_id))
        return None

    async def run(self, emit: Emitter) -> ToolResult:
        value = decode(self.arguments)
        asked = str(value.get(self._kind.argument, "")) if isinstance(value, dict) else ""
        await emit.done(**self._kind.asked(asked), status="failed")
        words = f"The tool {self._kind.name} is not available on this server. Go on without it, and say so."
        return ToolResult((TextPart(words),))


def unsupported(kind: Kind) -> Callable[[BaseTool, ToolContext], UnsupportedTool]:
    """What resolves tools of the type."""
    return partial(UnsupportedTool, kind)
