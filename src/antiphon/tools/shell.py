"""`shell`: commands, in a container of ours or on the client's machine.

Without an environment, or in a local one, the client runs the commands and answers with a
`shell_call_output`. It reads each command as the model writes it.
"""

from collections.abc import Sequence
from typing import Any, cast

from antiphon.model import Function, Message
from antiphon.protocol.client_items import CommandOutput, ExitOutcome, ShellAction, ShellCall, ShellCallOutput
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.tools import LocalEnvironment, LocalSkill, ShellTool
from antiphon.stream.items import OpenCommands
from antiphon.stream.machine import Machine
from antiphon.tools.base import Tool
from antiphon.tools.calls import Arguments, WrittenCall
from antiphon.tools.context import ToolContext
from antiphon.tools.function import refuse_programs
from antiphon.tools.messages import answered, called
from antiphon.tools.partial import Piece, decode

NAME = "shell"

_ABOUT = """Runs shell commands on the user's machine and returns what each of them prints. The commands of \
one call may run at the same time: put commands that depend on each other into one, joined by '&&'."""

_PARAMETERS = {
    "type": "object",
    "properties": {
        "commands": {"type": "array", "items": {"type": "string"}, "description": "The commands to run."},
        "timeout_ms": {
            "type": ["integer", "null"],
            "description": "Milliseconds after which a command is stopped.",
        },
        "max_output_length": {
            "type": ["integer", "null"],
            "description": "How many characters of output to return for each command at most.",
        },
    },
    "required": ["commands"],
    "additionalProperties": False,
}


class ClientShell(Tool):
    """A resolved `shell` tool whose commands the client runs."""

    def __init__(self, tool: ShellTool, context: ToolContext) -> None:
        refuse_programs(tool.allowed_callers, context)
        environment = tool.environment
        if environment is not None and not isinstance(environment, LocalEnvironment):
            raise InvalidRequest(
                "Shells in containers are not supported by this server yet; use a 'local' environment.",
                param=f"{context.place}.environment",
                code="unsupported_value",
            )
        self._local = environment is not None
        self._skills = (environment.skills or ()) if environment is not None else ()

    def functions(self) -> Sequence[Function]:
        return (Function(NAME, _ABOUT + _skills(self._skills), _PARAMETERS),)

    def call(self, name: str, call_id: str) -> "ClientShellCall":
        return ClientShellCall(name, call_id, LocalEnvironment() if self._local else None)


class ClientShellCall(WrittenCall):
    """A call of it."""

    item: OpenCommands | None = None

    def __init__(self, name: str, call_id: str, environment: LocalEnvironment | None) -> None:
        super().__init__(name, call_id)
        self._environment = environment

    def take(self, piece: Piece, machine: Machine) -> None:
        if not _is_command(piece.path):
            return
        if self.item is None:
            self.item = self._open(machine)
        self.item.command(piece.text)
        if piece.ended:
            self.item.end()

    def fault(self, arguments: Arguments) -> str | None:
        commands = arguments.get("commands")
        if not isinstance(commands, list) or not commands or not all(isinstance(c, str) for c in commands):
            return "`commands` must be a list of at least one command, each a text."
        if [self.text_at(*path) for path in self._texts if _is_command(path)] != commands:
            return "`commands` is there more than once."
        return None

    def conclude(self, machine: Machine) -> None:
        arguments = cast(Arguments, decode(self.arguments))
        item = cast(OpenCommands, self.item)
        item.action.timeout_ms = _limit(arguments.get("timeout_ms"))
        item.action.max_output_length = _limit(arguments.get("max_output_length"))
        item.close()

    def _open(self, machine: Machine) -> OpenCommands:
        item = ShellCall(
            id=machine.new_id("shell_call"),
            call_id=self.id,
            action=ShellAction(commands=[]),
            environment=self._environment,
            status="in_progress",
        )
        return machine.open(OpenCommands, item)


def _is_command(path: Sequence[str | int]) -> bool:
    return len(path) == 2 and path[0] == "commands"


def _limit(value: Any) -> int | None:
    """A limit that the model wishes for; one that is no number is none."""
    return int(value) if isinstance(value, int | float) and value > 0 else None


def call_to_messages(item: ShellCall) -> Sequence[Message]:
    return (called(item.call_id, NAME, item.action),)


def output_to_messages(item: ShellCallOutput) -> Sequence[Message]:
    return (answered(item.call_id, "\n".join(_printed(output) for output in item.output)),)


def _printed(output: CommandOutput) -> str:
    ended = f"exit code {output.outcome.exit_code}" if isinstance(output.outcome, ExitOutcome) else "timeout"
    return "\n".join(part for part in (output.stdout, output.stderr, f"[{ended}]") if part)


def _skills(skills: Sequence[LocalSkill]) -> str:
    """The skills that the machine has, for the function's description."""
    if not skills:
        return ""
    lines = [f"- {skill.name}: {skill.description} ({skill.path})" for skill in skills]
    return "\n\n".join(
        (
            "\n\nThe machine has skills: folders with instructions for tasks of a kind. Before a task that "
            "one of them is for, read SKILL.md in its folder and do as it says.",
            "\n".join(lines),
        )
    )
