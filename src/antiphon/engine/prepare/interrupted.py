"""What was begun and never finished: because a limit cut it short, or because the server died.

It stays in the output, as `incomplete`. The model does not read what it began anew, nor a call that was not
made; of a call that may have been made it is told so.
"""

from collections.abc import Sequence

import msgspec

from antiphon.protocol.client_items import ApplyPatchCall
from antiphon.protocol.hosted_items import McpCall
from antiphon.protocol.item import Item, item_type
from antiphon.protocol.items import AssistantMessage, Reasoning


def cut_short(item: Item) -> bool:
    """Whether the item was never finished. A patch knows no status `incomplete`."""
    status = getattr(item, "status", None)
    return status == "incomplete" or (status == "in_progress" and isinstance(item, ApplyPatchCall))


def without_abandoned(items: Sequence[Item]) -> Sequence[Item]:
    """The items as the model reads them."""
    if not any(map(cut_short, items)):
        return items
    answered = {getattr(item, "call_id", None) for item in items if item_type(item).endswith("_output")}
    following = (*items[1:], None)
    return [
        item
        for item, after in zip(items, following, strict=True)
        if not cut_short(item) or _counts(item, after, answered)
    ]


def finished(said: Sequence[Item]) -> Sequence[Item]:
    """What a response that goes on has said for good: what it had begun last is said anew, and so is what
    the model had thought before it."""
    said = list(said)
    while said and (isinstance(said[-1], Reasoning) or _is_cut_message(said[-1])):
        said.pop()
    return said


def _counts(item: Item, after: Item | None, answered: set[str | None]) -> bool:
    """Whether an item that was cut short is read all the same."""
    if isinstance(item, AssistantMessage):
        return after is None or not _is_models(after)
    if isinstance(item, McpCall):
        return _is_whole(item.arguments)
    call_id = getattr(item, "call_id", None)
    return call_id is None or call_id in answered


def _is_cut_message(item: Item) -> bool:
    return isinstance(item, AssistantMessage) and cut_short(item)


def _is_models(item: Item) -> bool:
    return isinstance(item, AssistantMessage | Reasoning) or item_type(item).endswith("_call")


def _is_whole(arguments: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(arguments), dict)
    except msgspec.DecodeError:
        return False
