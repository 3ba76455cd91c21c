"""`tool_search`: the model looks for tools that were deferred."""

from collections.abc import Sequence

from antiphon.backends.base import Message
from antiphon.protocol.hosted_items import ToolSearchCall, ToolSearchOutput
from antiphon.protocol.wire import encode
from antiphon.tools.recall import answered, called


def recall_call(item: ToolSearchCall) -> Sequence[Message]:
    return (called(item.call_id or item.id or "", "tool_search", item.arguments),)


def recall_output(item: ToolSearchOutput) -> Sequence[Message]:
    """What was found, as definitions to call by."""
    return (answered(item.call_id or item.id or "", encode(item.tools).decode()),)
