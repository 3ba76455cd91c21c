"""`local_shell`: one command on the client's machine, of older clients."""

from collections.abc import Sequence

from antiphon.backends.base import Message
from antiphon.protocol.client_items import LocalShellCall, LocalShellCallOutput
from antiphon.tools.recall import answered, called


def recall_call(item: LocalShellCall) -> Sequence[Message]:
    return (called(item.call_id, "local_shell", item.action),)


def recall_output(item: LocalShellCallOutput) -> Sequence[Message]:
    """In the reference the output's `id` is the id of the call; clients send the call_id."""
    return (answered(item.call_id or item.id or "", item.output),)
