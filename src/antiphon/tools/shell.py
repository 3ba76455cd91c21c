"""`shell` on the client's machine, and what it has in common with the shell in a container (`hosted_shell`).

Without an environment, or in a local one, the client runs the commands and answers with a
`shell_call_output`. It reads each command as the model writes it.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from antiphon.model import Function, Message
from antiphon.protocol.client_items import CommandOutput, ExitOutcome, ShellAction, ShellCall, ShellCallOutput
from antiphon.protocol.tools import ContainerReference, LocalEnvironment
from antiphon.stream.items import OpenCommands
from antiphon.stream.machine import Machine
from antiphon.tools.base import Tool
from antiphon.tools.calls import Arguments, WrittenCall
from antiphon.tools.messages import answered, called
from antiphon.tools.partial import Path, Piece, decode

NAME = "shell"


class Skill(Protocol):
    """A folder with instructions, on the machine that runs the commands."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def path(self) -> str: ...


_ABOUT = """Runs shell commands on the user's machine and returns what each of them prints. The commands of \
one call may run at the same time: put commands that depend on each other into one, joined by '&&'."""

PARAMETERS = {
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

    def __init__(self, environment: LocalEnvironment | None) -> None:
        self._environment = environment

    def functions(self) -> Sequence[Function]:
        skills = (self._environment.skills or ()) if self._environment is not None else ()
        return (Function(NAME, _ABOUT + about_skills(skills), PARAMETERS),)

    def call(self, name: str, call_id: str) -> "ClientShellCall":
        return ClientShellCall(name, call_id, LocalEnvironment() if self._environment is not None else None)


class WrittenCommands(WrittenCall):
    """A call of a shell, whose commands are emitted while they are written."""

    item: OpenCommands | None = None

    def __init__(
        self, name: str, call_id: str, environment: LocalEnvironment | ContainerReference | None
    ) -> None:
        super().__init__(name, call_id)
        self._environment = environment

    def take(self, piece: Piece, machine: Machine) -> None:
        if not self.is_command(piece.path):
            return
        if self.item is None:
            self.item = self._open(machine)
        self.item.command(piece.text)
        if piece.ended:
            self.item.end()

    def fault(self, arguments: Arguments) -> str | None:
        commands = self.commands(arguments)
        if not commands:
            return "`commands` must be a list of at least one command, each a text."
        if [self.text_at(*path) for path in self._texts if self.is_command(path)] != commands:
            return "`commands` is there more than once."
        return None

    def conclude(self, machine: Machine) -> None:
        arguments = decode(self.arguments)
        item = self.item
        if item is not None and isinstance(arguments, dict):
            item.action.timeout_ms = _limit(arguments.get("timeout_ms"))
            item.action.max_output_length = _limit(arguments.get("max_output_length"))

    def commands(self, arguments: Arguments) -> list[str]:
        """The commands of the whole call; none when they are not given as they should be."""
        commands = arguments.get("commands")
        texts = isinstance(commands, list) and all(isinstance(command, str) for command in commands)
        return commands if isinstance(commands, list) and texts else []

    def is_command(self, path: Path) -> bool:
        """Whether a text at this place of the arguments is a command."""
        return len(path) == 2 and path[0] == "commands"

    def _open(self, machine: Machine) -> OpenCommands:
        item = ShellCall(
            id=machine.new_id("shell_call"),
            call_id=self.id,
            action=ShellAction(commands=[]),
            environment=self._environment,
            caller=self.caller,
            status="in_progress",
        )
        return machine.open(OpenCommands, item)


class ClientShellCall(WrittenCommands):
    """A call that the client answers."""

    def conclude(self, machine: Machine) -> None:
        super().conclude(machine)
        assert self.item is not None, "it was not validated"
        self.item.close()


def _limit(value: Any) -> int | None:
    """A limit that the model wishes for; one that is no number is none."""
    return int(value) if isinstance(value, int | float) and value > 0 else None


def call_to_messages(item: ShellCall) -> Sequence[Message]:
    return (called(item.call_id, NAME, item.action),)


def output_to_messages(item: ShellCallOutput) -> Sequence[Message]:
    return (answered(item.call_id, printed(item.output) or _OUTCOMES.get(item.status or "", "")),)


_OUTCOMES = {"incomplete": "Error: the commands were interrupted. They may have taken effect, or not."}


def printed(outputs: Sequence[CommandOutput]) -> str:
    """What commands printed, as the model reads it."""
    return "\n".join(map(_printed, outputs))


def _printed(output: CommandOutput) -> str:
    ended = f"exit code {output.outcome.exit_code}" if isinstance(output.outcome, ExitOutcome) else "timeout"
    return "\n".join(part for part in (output.stdout, output.stderr, f"[{ended}]") if part)


def about_skills(skills: Sequence[Skill]) -> str:
    """The skills that the machine has, for the function's description."""
    if not skills:
        return ""
    lines = [f"- {skill.name}: {' '.join(skill.description.split())} ({skill.path})" for skill in skills]
    about = (
        "The machine has skills: folders with instructions for tasks of a kind. Before a task that one of "
        "them is for, read SKILL.md in its folder and do as it says."
    )
    return "\n\n".join(("", about, "\n".join(lines)))
