"""What came of calls that clients send back as they were shown, without it: it is stored."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from antiphon.engine.prepare.request_context import RequestContext
from antiphon.engine.prepare.stored_items import stored_item
from antiphon.protocol.hosted_items import CodeInterpreterCall, FileSearchCall
from antiphon.protocol.item import Item
from antiphon.store.store import Store

_HIDDEN: Mapping[type[Item], str] = {FileSearchCall: "results", CodeInterpreterCall: "outputs"}
"""The member that is shown to who includes it."""
_MOST = 64
"""Calls that are looked up for one request: the newest."""


async def with_results(store: Store, project: str, context: RequestContext) -> RequestContext:
    """The context, in which the input's calls have the results that are stored of them. Of one that is stored
    nowhere, the model reads that there was a call."""
    bare = [item.id for item in context.input if _is_bare(item)]
    found: dict[str, Any] = {}
    for item_id in bare[-_MOST:]:
        stored = await stored_item(await store.items.get(project, item_id or ""))
        if stored is not None and type(stored) in _HIDDEN and _result(stored) is not None:
            found[stored.id or ""] = _result(stored)
    if not found:
        return context
    return replace(context, input=[_restored(item, found) for item in context.input])


def _is_bare(item: Item) -> bool:
    if type(item) not in _HIDDEN or _result(item) is not None:
        return False
    return getattr(item, "status", None) in (None, "completed")


def _restored(item: Item, found: Mapping[str, Any]) -> Item:
    result = found.get(item.id or "") if _is_bare(item) else None
    return item if result is None else replace(item, **{_HIDDEN[type(item)]: result})


def _result(item: Item) -> Any:
    return getattr(item, _HIDDEN[type(item)])
