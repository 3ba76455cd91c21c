"""Calls that need consent: which the user has approved, and what the model reads of those that he has not."""

from collections.abc import Sequence
from typing import NamedTuple

from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.hosted_items import McpApprovalRequest, McpApprovalResponse, McpCall
from antiphon.protocol.item import Item
from antiphon.tools.base import Tool
from antiphon.tools.toolbox import Toolbox


class Consent(NamedTuple):
    """A call that was approved."""

    name: str
    """Of its function."""
    tool: Tool
    request: McpApprovalRequest


def check_approvals(history: Sequence[Item], given: Sequence[Item]) -> None:
    """Every answer that was given has its request, or the call that came of it. Raises InvalidRequest."""
    asked = _requests((*history, *given)).keys() | _made((*history, *given))
    for index, item in enumerate(given):
        if isinstance(item, McpApprovalResponse) and item.approval_request_id not in asked:
            raise InvalidRequest(
                f"No approval request found with id '{item.approval_request_id}'.", param=f"input[{index}]"
            )


def approved_in(toolbox: Toolbox, history: Sequence[Item], given: Sequence[Item]) -> list[Consent]:
    """The calls that the input approves, and that were not made yet. Raises InvalidRequest when nobody can
    make one."""
    asked = _requests((*history, *given))
    made = _made((*history, *given))
    found: dict[str, Consent] = {}
    for index, item in enumerate(given):
        if isinstance(item, McpApprovalResponse) and item.approve and item.approval_request_id not in made:
            request = asked[item.approval_request_id]
            found[item.approval_request_id] = _consent(toolbox, request, index)
    return list(found.values())


def decided(items: Sequence[Item]) -> Sequence[Item]:
    """The items as the model reads them: of the requests, those that were denied. What was approved reads
    from its call, and what is still open was never said."""
    denied = {
        item.approval_request_id
        for item in items
        if isinstance(item, McpApprovalResponse) and not item.approve
    }
    return [item for item in items if not isinstance(item, McpApprovalRequest) or item.id in denied]


def _consent(toolbox: Toolbox, request: McpApprovalRequest, index: int) -> Consent:
    found = toolbox.approved(request)
    if found is None:
        raise InvalidRequest(
            f"The call that was approved cannot be made: no tool has the server_label "
            f"'{request.server_label}'.",
            param=f"input[{index}]",
        )
    return Consent(*found, request)


def _requests(items: Sequence[Item]) -> dict[str, McpApprovalRequest]:
    return {item.id or "": item for item in items if isinstance(item, McpApprovalRequest)}


def _made(items: Sequence[Item]) -> set[str]:
    """The requests whose calls were made."""
    return {item.approval_request_id or "" for item in items if isinstance(item, McpCall)}
