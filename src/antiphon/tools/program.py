"""`programmatic_tool_calling`: programs of the model's that call tools."""

from collections.abc import Sequence

from antiphon.model import Message
from antiphon.protocol.hosted_items import Program, ProgramOutput
from antiphon.tools.messages import answered, called


def call_to_messages(item: Program) -> Sequence[Message]:
    return (called(item.call_id, "program", {"code": item.code}),)


def output_to_messages(item: ProgramOutput) -> Sequence[Message]:
    return (answered(item.call_id, item.result),)
