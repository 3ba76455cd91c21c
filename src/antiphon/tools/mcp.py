"""`mcp`: tools of an MCP server."""

from collections.abc import Sequence

from antiphon.backends.base import Message, TextPart
from antiphon.protocol.hosted_items import McpApprovalRequest, McpApprovalResponse, McpCall, McpListTools
from antiphon.protocol.wire import encode
from antiphon.tools.recall import answered, called


def recall_listing(_: McpListTools) -> Sequence[Message]:
    """The tools are offered as functions; the model need not read the listing."""
    return ()


def recall_call(item: McpCall) -> Sequence[Message]:
    call_id = item.id or ""
    return (called(call_id, item.name, item.arguments), answered(call_id, _outcome(item)))


def recall_request(_: McpApprovalRequest) -> Sequence[Message]:
    """A call that waited for consent was not made: after consent, an item of its own tells of it."""
    return ()


def recall_response(item: McpApprovalResponse) -> Sequence[Message]:
    """Consent reads as the call's own item; a denial is told in words, since no call was made."""
    if item.approve:
        return ()
    reason = f": {item.reason}" if item.reason else "."
    words = f"The user did not approve the tool call {item.approval_request_id} that was asked for{reason}"
    return (Message("developer", parts=(TextPart(words),)),)


def _outcome(item: McpCall) -> str:
    if item.error is None:
        return item.output or ""
    return f"Error: {item.error if isinstance(item.error, str) else encode(item.error).decode()}"
