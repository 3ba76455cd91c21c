"""Which items are whose, where a response has several agents.

An agent reads its own items, the answers to its calls, and what others tell it. The root has what is nobody
else's.
"""

from collections.abc import Iterator, Sequence

from antiphon.protocol.item import Item
from antiphon.protocol.items import AgentMessage

ROOT = "/root"


def owners(items: Sequence[Item]) -> Iterator[str]:
    """The agent that reads each item."""
    by_call: dict[str, str] = {}
    for item in items:
        call_id: str | None = getattr(item, "call_id", None)
        if isinstance(item, AgentMessage):
            owner = item.recipient
        elif item.agent is not None:
            owner = item.agent.agent_name
        else:
            owner = by_call.get(call_id or "", ROOT)
        if call_id is not None:
            by_call.setdefault(call_id, owner)
        yield owner


def of_agent(items: Sequence[Item], agent: str) -> Sequence[Item]:
    """The items that an agent reads; all of them, where there is one agent alone."""
    if agent == ROOT and all(item.agent is None for item in items):
        return items
    return [item for item, owner in zip(items, owners(items), strict=True) if owner == agent]
