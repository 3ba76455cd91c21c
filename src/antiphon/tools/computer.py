"""`computer` and `computer_use_preview`: actions on a screen."""

from collections.abc import Sequence

from antiphon.backends.base import Message
from antiphon.protocol.client_items import ComputerCall, ComputerCallOutput
from antiphon.tools.recall import answered, called, screenshot


def recall_call(item: ComputerCall) -> Sequence[Message]:
    actions = item.actions if item.actions is not None else [item.action] if item.action else []
    return (called(item.call_id, "computer", {"actions": actions}),)


def recall_output(item: ComputerCallOutput) -> Sequence[Message]:
    return (answered(item.call_id, (screenshot(item.output),)),)
