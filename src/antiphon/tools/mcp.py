"""`mcp`: tools of an MCP server."""

from collections.abc import Sequence

from antiphon.backends.base import Message
from antiphon.protocol.hosted_items import McpApprovalRequest, McpApprovalResponse, McpCall, McpListTools
from antiphon.protocol.wire import encode
from antiphon.tools.recall import answered, called


def recall_listing(_: McpListTools) -> Sequence[Message]:
    """The tools are offered as functions; the model need not read the listing."""
    return ()


def recall_call(item: McpCall) -> Sequence[Message]:
    call_id = item.id or ""
    return (called(call_id, item.name, item.arguments), answered(call_id, _outcome(item)))


def recall_request(item: McpApprovalRequest) -> Sequence[Message]:
    return (called(item.id or "", item.name, item.arguments),)


def recall_response(item: McpApprovalResponse) -> Sequence[Message]:
    """Only a denial is an answer; after consent, the call's own item has its outcome."""
    if item.approve:
        return ()
    reason = f": {item.reason}" if item.reason else "."
    return (answered(item.approval_request_id, f"The user did not approve this call{reason}"),)


def _outcome(item: McpCall) -> str:
    if item.error is None:
        return item.output or ""
    return f"Error: {item.error if isinstance(item.error, str) else encode(item.error).decode()}"
