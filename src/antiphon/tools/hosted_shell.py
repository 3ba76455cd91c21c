"""`shell` in a container, run by the server.

A call has two items, as when a client runs it: `shell_call`, whose commands are emitted while they are
written, and `shell_call_output`. The commands run when the one is done and the other has begun, and both are
durable: so a crash, or whatever else ends the response meanwhile, shows in the output.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from antiphon.model import Function, TextPart
from antiphon.protocol import events
from antiphon.protocol.client_items import (
    CommandOutput,
    ExitOutcome,
    ShellAction,
    ShellCall,
    ShellCallOutput,
    TimeoutOutcome,
)
from antiphon.protocol.item import Item
from antiphon.protocol.tools import ContainerReference, ShellContainer, ShellTool
from antiphon.protocol.tools import Tool as WireTool
from antiphon.sandbox.base import DATA, CommandResult
from antiphon.tools.base import ServerCall, Tool, ToolResult
from antiphon.tools.calls import Arguments
from antiphon.tools.container_tool import LINKS, ContainerTool
from antiphon.tools.containers import Containers, NewContainer
from antiphon.tools.context import ToolContext
from antiphon.tools.emitter import Emitter
from antiphon.tools.partial import Path
from antiphon.tools.printed import shortened
from antiphon.tools.shell import NAME, PARAMETERS, ClientShell, WrittenCommands, about_skills, printed
from antiphon.tools.unsupported import UnavailableTool
from antiphon.tools.workspace import NO_SANDBOX, Workspace, WorkspaceFailed, new_container

_ABOUT = f"""Runs shell commands in a Linux container, one after another, and returns what each of them \
prints. They run without a terminal in {DATA}, where files are kept. """


def resolve(tool: ShellTool, context: ToolContext) -> Tool:
    """The tool, wherever its commands run. Raises InvalidRequest."""
    environment = tool.environment
    if not isinstance(environment, ShellContainer | ContainerReference):
        return ClientShell(environment)
    named = environment.container_id if isinstance(environment, ContainerReference) else None
    wanted = NewContainer()
    if isinstance(environment, ShellContainer):
        wanted = new_container(environment, f"{context.place}.environment")
    containers = context.resources.containers
    if containers is None:
        return UnavailableTool(NO_SANDBOX)
    return HostedShell(containers, context, wanted, named)


class HostedShell(ContainerTool):
    """The tool, in one response. Its container is made at once, since the response names it."""

    def __init__(
        self, containers: Containers, context: ToolContext, wanted: NewContainer, named: str | None
    ) -> None:
        workspace = Workspace(containers, context, wanted, named)
        super().__init__(containers, workspace, early=named is None)
        self.window = context.window

    def functions(self) -> Sequence[Function]:
        about = f"{_ABOUT}{LINKS}{self.about_files()}{about_skills(self.workspace.skills)}"
        return (Function(NAME, about, PARAMETERS),)

    def call(self, name: str, call_id: str) -> "HostedShellCall":
        return HostedShellCall(self, name, call_id)

    def remember(self, item: Item) -> None:
        super().remember(item)
        if isinstance(item, ShellCall) and isinstance(item.environment, ContainerReference):
            self.workspace.use_again(item.environment.container_id)

    def shown(self, entry: WireTool) -> WireTool:
        assert isinstance(entry, ShellTool), "it is the entry of a shell"
        return replace(entry, environment=ContainerReference(container_id=self.workspace.id))


class HostedShellCall(WrittenCommands, ServerCall):
    """A call of it."""

    def __init__(self, tool: HostedShell, name: str, call_id: str) -> None:
        super().__init__(name, call_id, ContainerReference(container_id=tool.workspace.id))
        self._tool = tool
        self._container = tool.workspace.id

    def validate(self) -> str | None:
        """Once a command was emitted, the model reads what is wrong as the call's result."""
        return super().validate() if self.item is None else None

    def commands(self, arguments: Arguments) -> list[str]:
        """Small models write one text where a list is due, or give it another name."""
        given = [value for name in ("commands", "command") if isinstance(value := arguments.get(name), str)]
        return given if len(given) == 1 else super().commands(arguments)

    def is_command(self, path: Path) -> bool:
        return path in (("commands",), ("command",)) or super().is_command(path)

    async def run(self, emit: Emitter) -> ToolResult:
        await emit.turn()
        fault = super().validate()
        if fault is not None:
            await emit.give_up("The call is not valid")
            return _failed(f"The commands were not run. {fault}")
        action = self._action()
        output = ShellCallOutput(
            id=emit.new_id("shell_call_output"),
            call_id=self.id,
            output=[],
            max_output_length=action.max_output_length,
            caller=self.caller,
            status="completed",  # as recorded (behaviours.md section 2)
        )
        out = await emit.answer(output)
        seconds = action.timeout_ms / 1000 if action.timeout_ms is not None else None
        try:
            results = await self._tool.workspace.run(
                self._container, action.commands, seconds, action.max_output_length
            )
        except WorkspaceFailed as failure:
            await out.done(status="incomplete")
            return _failed(str(failure))
        outputs = [_output(result) for result in results]
        for index, each in enumerate(outputs):
            await _emit(out, index, each)
        await out.done(status="completed")
        return ToolResult((TextPart(shortened(printed(outputs), self._tool.window)),))

    def _action(self) -> ShellAction:
        assert self.item is not None, "a valid call has commands"
        return self.item.action


async def _emit(out: Emitter, index: int, output: CommandOutput) -> None:
    """What a command printed, and how it ended."""
    for stream in ("stdout", "stderr"):
        if text := getattr(output, stream):
            delta = events.PrintedText(**{stream: text})
            await out(events.ShellOutputDelta, command_index=index, delta=delta)
    await out(events.ShellOutputDone, command_index=index, output=[output])


def _output(result: CommandResult) -> CommandOutput:
    code = result.exit_code
    return CommandOutput(
        outcome=TimeoutOutcome() if code is None else ExitOutcome(exit_code=code),
        stdout=result.stdout,
        stderr=result.stderr,
    )


def _failed(why: str) -> ToolResult:
    return ToolResult((TextPart(f"Error: {why}"),))
