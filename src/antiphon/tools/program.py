"""`programmatic_tool_calling`: programs of the model's that call tools.

The model sees one function, to which it gives JavaScript. Its description has the tools that programs may
call. What the program does is the engine's matter (`engine/programs.py`); here is what its items are.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from antiphon.model import Function, ImagePart, Message, Part, TextPart
from antiphon.protocol.content import LONGEST, InputImage, InputText
from antiphon.protocol.hosted_items import Program, ProgramOutput
from antiphon.protocol.tools import ProgrammaticToolCallingTool
from antiphon.protocol.wire import encode
from antiphon.scripting.program import Written
from antiphon.stream.items import open_item
from antiphon.stream.machine import Machine
from antiphon.tools.base import Tool, ToolCall
from antiphon.tools.calls import Arguments, WholeCall
from antiphon.tools.context import ToolContext
from antiphon.tools.messages import answered, called
from antiphon.tools.unsupported import UnavailableTool

NAME = "run_program"
NO_V8 = "this server has no V8 to run programs in: install antiphon[programs]"

_ABOUT = """Runs a JavaScript program that calls tools, and returns what it writes. Use it for several calls \
of which one needs the results of another, that can be made at the same time, or whose results are to be \
filtered or added up before you read them.
Call a tool with `await tools.NAME({...})`; calls that do not need each other's results are made together by \
`await Promise.all([...])`. A call that fails throws an Error. Write what you want to read with \
`text(value)`, and an image, as a data: URL, with `image(url)`; what the program returns is written as well. \
There is `await` at the top level, and nothing beside the language: no network, no files, no console, no \
timers, no modules.
The tools, each with the JSON schema of its one argument, and what it returns:"""
_CODE = {"type": "string", "description": "The program, as JavaScript."}
_PARAMETERS = {
    "type": "object",
    "properties": {"code": _CODE},
    "required": ["code"],
    "additionalProperties": False,
}


def resolve(tool: ProgrammaticToolCallingTool, context: ToolContext) -> Tool:
    """The tool, where there is something to run programs in."""
    return UnavailableTool(NO_V8) if context.resources.player is None else Programs(context)


class Programs(Tool):
    """The tool."""

    executor = "server"

    def __init__(self, context: ToolContext) -> None:
        self._context = context

    def functions(self) -> Sequence[Function]:
        catalog = self._context.catalog
        assert catalog is not None, "it is one of the tools of a response"
        lines = [
            _described(function, catalog.returns_json(function.name)) for function in catalog.programmatic
        ]
        return (Function(NAME, "\n".join((_ABOUT, *lines)), _PARAMETERS),)

    def call(self, name: str, call_id: str) -> ToolCall:
        return ProgramCall(name, call_id, self._context)


class ProgramCall(WholeCall):
    """A program that is about to run."""

    executor = "program"
    program: Program | None = None
    """Its item, once it was added."""

    def __init__(self, name: str, call_id: str, context: ToolContext) -> None:
        super().__init__(name, call_id)
        self._context = context

    def fault(self, arguments: Arguments) -> str | None:
        code = arguments.get("code")
        if not isinstance(code, str) or not code.strip():
            return '`code` must be the program, as one text: {"code": "..."}.'
        return f"The program is longer than {LONGEST} characters." if len(code) > LONGEST else None

    def conclude(self, machine: Machine) -> None:
        code: str = self.decoded["code"]
        fingerprint = self._context.fingerprint(self.id, code)
        begun = Program(id=machine.new_id("program"), call_id=self.id, code="", fingerprint=fingerprint)
        self.program = msgspec.structs.replace(begun, code=code)
        open_item(machine, begun).finish(self.program)


def _described(function: Function, returns_json: bool) -> str:
    """A tool, as the model reads of it."""
    argument = encode(function.parameters).decode()
    returns = "a value" if returns_json else "text"
    about = f"  {' '.join(function.description.split())}\n" if function.description else ""
    return f"- tools.{function.name}\n{about}  argument: {argument}\n  returns {returns}"


# ---- what comes of it -------------------------------------------------------------------------------


def result_of(parts: Sequence[Written], fault: str | None) -> str:
    """What a program wrote, as the one text that its output has: the words themselves, or with images its
    parts as JSON."""
    written = [*parts, *([Written("text", fault)] if fault else [])]
    if all(part.kind == "text" for part in written):
        return "\n".join(part.content for part in written)
    return encode([_input_part(part) for part in written]).decode()


def _input_part(part: Written) -> InputText | InputImage:
    if part.kind != "image" or not part.content.startswith("data:image/"):
        return InputText(text=part.content)
    detail: Any = part.detail if part.detail in ("low", "high", "auto", "original") else "auto"
    return InputImage(image_url=part.content, detail=detail)


def _parts(result: str, images: bool) -> tuple[Part, ...]:
    """The result as a model reads it."""
    if not result.startswith('[{"'):
        return (TextPart(result),)
    try:
        parts = msgspec.json.decode(result, type=list[InputText | InputImage])
    except msgspec.DecodeError:
        return (TextPart(result),)
    return tuple(_part(part, images) for part in parts)


def _part(part: InputText | InputImage, images: bool) -> Part:
    if isinstance(part, InputText):
        return TextPart(part.text)
    url = part.image_url or ""
    if not images or not url.startswith("data:image/"):
        return TextPart("[An image that this model cannot read]")
    return ImagePart(url, part.detail or "auto")


# ---- past items -------------------------------------------------------------------------------------


def call_to_messages(item: Program) -> Sequence[Message]:
    return (called(item.call_id, NAME, {"code": item.code}),)


def output_to_messages(item: ProgramOutput, images: bool = True) -> Sequence[Message]:
    """`images`: whether the model reads them."""
    return (answered(item.call_id, _parts(item.result, images)),)
