"""`programmatic_tool_calling`: programs of the model's that call tools."""

from collections.abc import Sequence

from antiphon.backends.base import Message
from antiphon.protocol.hosted_items import Program, ProgramOutput
from antiphon.tools.recall import answered, called


def recall_call(item: Program) -> Sequence[Message]:
    return (called(item.call_id, "program", {"code": item.code}),)


def recall_output(item: ProgramOutput) -> Sequence[Message]:
    return (answered(item.call_id, item.result),)
