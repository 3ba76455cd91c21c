"""`local_shell`: one command on the client's machine, of older clients.

The item has no events of its own, so nothing is lost by emitting a call when it is whole and right.
"""

from collections.abc import Mapping, Sequence

import msgspec
from msgspec.structs import replace

from antiphon.model import Function, Message
from antiphon.protocol.client_items import ExecAction, LocalShellCall, LocalShellCallOutput
from antiphon.protocol.item import Item, NewId, item_type
from antiphon.protocol.tools import LocalShellTool
from antiphon.stream.machine import Machine, OpenItem
from antiphon.tools.base import Tool
from antiphon.tools.calls import Arguments, WholeCall
from antiphon.tools.context import ToolContext
from antiphon.tools.messages import answered, called

NAME = "local_shell"

_FUNCTION = Function(
    NAME,
    "Runs a command on the user's machine and returns what it prints. No shell reads the command: for pipes "
    "and the like, call one, as in ['bash', '-lc', 'ls | wc -l'].",
    {
        "type": "object",
        "properties": {
            "command": {
                "type": "array",
                "items": {"type": "string"},
                "description": "The program and its arguments.",
            },
            "env": {
                "type": ["object", "null"],
                "additionalProperties": {"type": "string"},
                "description": "Environment variables to set.",
            },
            "timeout_ms": {
                "type": ["integer", "null"],
                "description": "Milliseconds after which it is stopped.",
            },
            "user": {"type": ["string", "null"], "description": "The user to run it as."},
            "working_directory": {"type": ["string", "null"], "description": "The directory to run it in."},
        },
        "required": ["command"],
        "additionalProperties": False,
    },
)


class LocalShell(Tool):
    """A resolved `local_shell` tool."""

    def __init__(self, tool: LocalShellTool, context: ToolContext) -> None:
        pass

    def functions(self) -> Sequence[Function]:
        return (_FUNCTION,)

    def call(self, name: str, call_id: str) -> "LocalShellUse":
        return LocalShellUse(name, call_id)


class LocalShellUse(WholeCall):
    """A call of it."""

    def fault(self, arguments: Arguments) -> str | None:
        try:
            return None if _action(arguments).command else "`command` must not be empty."
        except msgspec.ValidationError as fault:
            return f"The call of {self.name} is not valid: {fault}."

    def conclude(self, machine: Machine) -> None:
        item = LocalShellCall(
            id=machine.new_id("local_shell_call"),
            call_id=self.id,
            action=ExecAction(command=[], env={}),
            status="in_progress",
        )
        opened = machine.open(OpenItem, item)
        opened.finish(replace(item, action=_action(self.decoded), status="completed"))


def _action(arguments: Arguments) -> ExecAction:
    given = {name: value for name, value in arguments.items() if value is not None}
    return msgspec.convert({"env": {}, **given, "type": "exec"}, ExecAction, strict=False)


def call_to_messages(item: LocalShellCall) -> Sequence[Message]:
    return (called(item.call_id, NAME, item.action),)


def output_to_messages(item: LocalShellCallOutput) -> Sequence[Message]:
    """In the reference the output's `id` is the id of the call; clients send the call_id."""
    return (answered(item.call_id or item.id or "", item.output),)


def with_call_ids(history: Sequence[Item], given: Sequence[Item], new_id: NewId) -> list[Item]:
    """The given items, in which outputs of a local shell name their call as all others do. In the reference
    they have the call's id instead; where that is the id of its item, they get one of their own, since a
    conversation holds an id once."""
    calls = {
        name: item.call_id
        for item in (*history, *given)
        if isinstance(item, LocalShellCall)
        for name in (item.id, item.call_id)
    }
    return [_bound(item, calls, new_id) for item in given]


def _bound(item: Item, calls: Mapping[str | None, str], new_id: NewId) -> Item:
    if not isinstance(item, LocalShellCallOutput) or item.call_id is not None:
        return item
    call_id = calls.get(item.id, item.id)
    taken = item.id in calls and item.id != call_id
    return replace(item, call_id=call_id, id=new_id(item_type(item)) if taken else item.id)
