"""`code_interpreter`: Python in a container, run by the server.

The model sees a function `python`. Its code is emitted while it is written, and runs when it is whole: from
`interpreting` on it may have taken effect. Code that raises an error is a call that completed: the model
reads the traceback, as it reads all that was printed and displayed, whoever else does.
"""

import asyncio
from base64 import b64encode
from collections.abc import Iterator, Sequence

from antiphon.model import Function, ImagePart, Message, Part, TextPart
from antiphon.protocol import events
from antiphon.protocol.hosted_items import CodeInterpreterCall, Image, Logs
from antiphon.protocol.item import Item
from antiphon.protocol.tools import CodeInterpreterTool
from antiphon.sandbox.base import DATA, Picture
from antiphon.sandbox.base import Logs as Printed
from antiphon.stream.items import OpenText
from antiphon.stream.machine import Machine
from antiphon.tools.base import ServerCall, Tool, ToolResult, Write
from antiphon.tools.container_tool import LINKS, ContainerTool
from antiphon.tools.containers import Containers, NewContainer, Ran
from antiphon.tools.context import ToolContext
from antiphon.tools.emitter import Emitter
from antiphon.tools.messages import answered, called
from antiphon.tools.printed import first_of, shortened
from antiphon.tools.unsupported import UnavailableTool
from antiphon.tools.workspace import NO_SANDBOX, Workspace, WorkspaceFailed, new_container
from antiphon.tools.written_code import WrittenText, unfenced

NAME = "python"

_ABOUT = f"""Runs Python code as a notebook does: variables stay from call to call. Returns what is printed, \
the value of the last expression, and figures. Files are kept in {DATA}, where it runs. """
_PARAMETERS = {
    "type": "object",
    "properties": {"code": {"type": "string", "description": "The code to run."}},
    "required": ["code"],
}
_NAMED = 20
"""How many files of one call the model reads of."""
_SILENT = "[No output.]"
_UNKNOWN = "[Its output is not known any more.]"
_OUTCOMES = {
    "failed": "Error: the code could not be run.",
    "incomplete": "Error: the call was interrupted before it ended. It may have taken effect, or not.",
}


def resolve(tool: CodeInterpreterTool, context: ToolContext) -> Tool:
    """Raises InvalidRequest."""
    named = tool.container if isinstance(tool.container, str) else None
    place = f"{context.place}.container"
    wanted = NewContainer() if isinstance(tool.container, str) else new_container(tool.container, place)
    containers = context.resources.containers
    if containers is None:
        return UnavailableTool(NO_SANDBOX)
    return CodeInterpreter(containers, context, wanted, named)


class CodeInterpreter(ContainerTool):
    """The tool, in one response."""

    def __init__(
        self, containers: Containers, context: ToolContext, wanted: NewContainer, named: str | None
    ) -> None:
        # What a container is to have is looked at before anything is answered.
        early = named is None and bool(wanted.file_ids or wanted.domains or wanted.memory_limit)
        super().__init__(containers, Workspace(containers, context, wanted, named), early=early)
        self._wanted = wanted
        self._named = named
        self.images = context.images
        self.window = context.window

    def functions(self) -> Sequence[Function]:
        about = f"{_ABOUT}{LINKS}{self._about_network()}{self.about_files()}"
        return (Function(NAME, about, _PARAMETERS),)

    def call(self, name: str, call_id: str) -> "PythonCall":
        return PythonCall(self, name, call_id)

    def remember(self, item: Item) -> None:
        super().remember(item)
        if isinstance(item, CodeInterpreterCall) and item.container_id:
            self.workspace.use_again(item.container_id)
            self.workspace.show(sum(isinstance(output, Image) for output in item.outputs or ()))

    def _about_network(self) -> str:
        if self._named is not None:
            return ""
        if not self._wanted.domains:
            return " It has no network."
        return f" Of the network it reaches {', '.join(self._wanted.domains)} alone, by HTTPS."


class PythonCall(ServerCall):
    """A call of it."""

    item: OpenText | None = None

    def __init__(self, tool: CodeInterpreter, name: str, call_id: str) -> None:
        super().__init__(name, call_id)
        self._tool = tool
        self._written = WrittenText("code")
        self._container = tool.workspace.id

    def begin(self, machine: Machine) -> Write:
        item = CodeInterpreterCall(
            id=machine.new_id("code_interpreter_call"),
            status="in_progress",
            container_id=self._container,
            code="",
            outputs=[],
        )
        self.item = machine.open(OpenText, item)
        self.item.emit(events.CodeInProgress(**self.item.place))
        return self._write_code

    def conclude(self, machine: Machine) -> None:
        assert self.item is not None, "it was not started"
        rest = self._written.end()
        if rest:
            self.item.write(rest)
        self.item.end()

    async def run(self, emit: Emitter) -> ToolResult:
        await emit.turn()  # of calls that are made at once, one after another: they share what they know
        fault = self._written.fault
        if fault is not None:
            return await _failed(emit, f"The code was not run. {fault}")
        await emit(events.CodeInterpreting)
        try:
            ran = await self._tool.workspace.execute(self._container, unfenced(self._written.text))
        except WorkspaceFailed as failure:
            return await _failed(emit, str(failure))
        await emit(events.CodeCompleted)
        outputs = await asyncio.to_thread(_outputs, ran)  # pictures may come to 32 MiB
        await emit.done(status="completed", outputs=outputs)
        return ToolResult(_read(ran, outputs, self._tool.images, self._tool.window))

    def _write_code(self, delta: str) -> None:
        assert self.item is not None, "it was not started"
        for piece in self._written.feed(delta):
            self.item.write(piece)


async def _failed(emit: Emitter, why: str) -> ToolResult:
    await emit.done(status="failed")
    return ToolResult((TextPart(f"Error: {why}"),))


# ---- what came of it --------------------------------------------------------------------------------


def _outputs(ran: Ran) -> list[Logs | Image]:
    return [_output(each) for each in ran.execution.outputs]


def _output(output: Printed | Picture) -> Logs | Image:
    if isinstance(output, Printed):
        return Logs(logs=output.text)
    return Image(url=f"data:{output.media_type};base64,{b64encode(output.data).decode()}")


def _read(ran: Ran, outputs: Sequence[Logs | Image], images: bool, window: int | None) -> tuple[Part, ...]:
    """How code ended, as the model reads it."""
    parts = list(_shown(outputs, images, window))
    if ran.execution.error:
        parts.append(TextPart(shortened(ran.execution.error, window)))
    if ran.files:
        parts.append(TextPart(f"Files: {first_of([file.path for file in ran.files], _NAMED)}"))
    return _in_lines(parts or [TextPart(_SILENT)])


def _in_lines(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Parts that begin lines of their own, whatever was printed before: servers join texts as they are."""
    return (*map(_line, parts[:-1]), *parts[-1:])


def _line(part: Part) -> Part:
    if isinstance(part, TextPart) and not part.text.endswith("\n"):
        return TextPart(f"{part.text}\n")
    return part


def _shown(outputs: Sequence[Logs | Image], images: bool, window: int | None = None) -> Iterator[Part]:
    for output in outputs:
        if isinstance(output, Logs):
            yield TextPart(shortened(output.logs, window))
        elif images and output.by_value:
            yield ImagePart(output.url)
        else:
            yield TextPart("[A picture, which the user sees and you cannot.]")


# ---- past items -------------------------------------------------------------------------------------


def call_to_messages(item: CodeInterpreterCall, images: bool = True) -> Sequence[Message]:
    """`images`: whether the model reads them; else they are named in words, since they came unasked."""
    call_id = item.id or ""
    output = _in_lines(list(_shown(item.outputs or (), images)))
    if not output:
        silent = _UNKNOWN if item.outputs is None else _SILENT
        output = (TextPart(_OUTCOMES.get(item.status or "", silent)),)
    return (called(call_id, NAME, {"code": item.code or ""}), answered(call_id, output))
