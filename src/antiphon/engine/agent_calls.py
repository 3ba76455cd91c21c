"""Calls that agents make of the client, and what answers them."""

from collections.abc import Iterable, Mapping, Sequence

from antiphon.context.agents import ROOT, named
from antiphon.protocol.client_items import (
    ApplyPatchCall,
    ApplyPatchCallOutput,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
)
from antiphon.protocol.item import Item, item_type
from antiphon.stream.kinds import kind_of

INTERRUPTED = "The agent was interrupted."

_BY_CLIENTS = frozenset(
    {
        "function_call_output",
        "custom_tool_call_output",
        "apply_patch_call_output",
        "computer_call_output",
        "local_shell_call_output",
    }
)


def speaker(item: Item) -> str:
    """The agent that an item is of."""
    return named(item) or ROOT


def unanswered(items: Iterable[Item | None]) -> dict[str, Item]:
    """The whole calls among the items of a response that nothing has answered, by their ids."""
    calls: dict[str, Item] = {}
    for item in items:
        call_id: str | None = getattr(item, "call_id", None)
        if item is None or call_id is None:
            continue
        kind = kind_of(item)
        if kind.nature == "output":
            calls.pop(call_id, None)
        elif kind.answered_by is not None and not kind.was_cut(item):
            calls[call_id] = item
    return calls


def answers(outputs: Sequence[Item], calls: Mapping[str, Item]) -> Sequence[Item] | None:
    """Those of the calls that the outputs answer, one each; None: not all of them do."""
    ids = [str(getattr(output, "call_id", None)) for output in outputs]
    if not ids or len(set(ids)) < len(ids) or not calls.keys() >= set(ids):
        return None
    found = [calls[call_id] for call_id in ids]
    kinds = [kind_of(call).answered_by for call in found]
    return found if kinds == [item_type(output) for output in outputs] else None


def is_by_client(call: Item) -> bool:
    """Whether nobody but a client answers such calls."""
    return kind_of(call).answered_by in _BY_CLIENTS


def interrupted(call: Item) -> Item | None:
    """What answers the call of an agent that was interrupted; None: nothing can."""
    if isinstance(call, FunctionCall):
        return FunctionCallOutput(call_id=call.call_id, output=INTERRUPTED)
    if isinstance(call, CustomToolCall):
        return CustomToolCallOutput(call_id=call.call_id, output=INTERRUPTED)
    if isinstance(call, ApplyPatchCall):
        return ApplyPatchCallOutput(call_id=call.call_id, status="failed", output=INTERRUPTED)
    return None
