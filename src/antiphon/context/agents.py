"""Which items are whose, where a response has several agents.

An agent reads its own items, the answers to its calls, and what others tell it. The root has what is nobody
else's.
"""

from collections.abc import Iterator, Sequence

from antiphon.protocol.hosted_items import McpApprovalRequest, McpApprovalResponse
from antiphon.protocol.item import Item
from antiphon.protocol.items import AgentMessage

ROOT = "/root"


def owners(items: Sequence[Item]) -> Iterator[str]:
    """The agent that reads each item."""
    by_call: dict[str, str] = {}
    for item in items:
        call = _call(item)
        owner = item.recipient if isinstance(item, AgentMessage) else named(item)
        owner = owner or by_call.get(call or "", ROOT)
        if call is not None:
            by_call.setdefault(call, owner)
        yield owner


def named(item: Item) -> str | None:
    """The agent that an item says it is of."""
    return item.agent.agent_name if item.agent is not None else None


def _call(item: Item) -> str | None:
    """What a call, or a request for consent, and its answer have in common."""
    if isinstance(item, McpApprovalRequest):
        return item.id
    if isinstance(item, McpApprovalResponse):
        return item.approval_request_id
    call_id: str | None = getattr(item, "call_id", None)
    return call_id


def of_agent(items: Sequence[Item], agent: str) -> Sequence[Item]:
    """The items that an agent reads; all of them, where there is one agent alone."""
    if agent == ROOT and all(item.agent is None for item in items):
        return items
    return [item for item, owner in zip(items, owners(items), strict=True) if owner == agent]
