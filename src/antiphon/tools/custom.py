"""`custom`: a tool that takes free text instead of JSON."""

from collections.abc import Sequence

from antiphon.backends.base import Message
from antiphon.protocol.client_items import CustomToolCall, CustomToolCallOutput
from antiphon.tools.recall import answered, called, output_parts


def recall_call(item: CustomToolCall) -> Sequence[Message]:
    return (called(item.call_id, item.name, {"input": item.input}),)


def recall_output(item: CustomToolCallOutput) -> Sequence[Message]:
    return (answered(item.call_id, output_parts(item.output)),)
