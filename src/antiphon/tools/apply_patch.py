"""`apply_patch`: a change to a file on the client's machine."""

from collections.abc import Sequence

from antiphon.backends.base import Message
from antiphon.protocol.client_items import ApplyPatchCall, ApplyPatchCallOutput
from antiphon.tools.recall import answered, called


def recall_call(item: ApplyPatchCall) -> Sequence[Message]:
    return (called(item.call_id, "apply_patch", item.operation),)


def recall_output(item: ApplyPatchCallOutput) -> Sequence[Message]:
    return (answered(item.call_id, item.output or item.status or "completed"),)
