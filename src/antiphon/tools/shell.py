"""`shell`: commands, in a container of ours or on the client's machine."""

from collections.abc import Sequence

from antiphon.backends.base import Message
from antiphon.protocol.client_items import CommandOutput, ExitOutcome, ShellCall, ShellCallOutput
from antiphon.tools.recall import answered, called


def recall_call(item: ShellCall) -> Sequence[Message]:
    return (called(item.call_id, "shell", item.action),)


def recall_output(item: ShellCallOutput) -> Sequence[Message]:
    return (answered(item.call_id, "\n".join(_printed(output) for output in item.output)),)


def _printed(output: CommandOutput) -> str:
    ended = f"exit code {output.outcome.exit_code}" if isinstance(output.outcome, ExitOutcome) else "timeout"
    return "\n".join(part for part in (output.stdout, output.stderr, f"[{ended}]") if part)
