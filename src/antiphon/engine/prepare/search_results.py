"""Searches that clients send back as they were shown, without their results: these are stored."""

from collections.abc import Sequence

from msgspec.structs import replace

from antiphon.engine.prepare.request_context import RequestContext
from antiphon.protocol.hosted_items import FileSearchCall, FileSearchResult
from antiphon.protocol.item import Item
from antiphon.protocol.items import decode_stored
from antiphon.store.store import Store

_MOST = 64
"""Searches that are looked up for one request: the newest."""


async def with_results(store: Store, project: str, context: RequestContext) -> RequestContext:
    """The context, in which the input's searches have the results that are stored of them. Of one that is
    stored nowhere, the model reads that there was a search."""
    bare = [item.id for item in context.input if _is_bare(item)]
    found: dict[str, Sequence[FileSearchResult]] = {}
    for item_id in bare[-_MOST:]:
        row = await store.items.get(project, item_id or "")
        stored = decode_stored(row) if row is not None else None
        if isinstance(stored, FileSearchCall) and stored.results is not None:
            found[stored.id or ""] = stored.results
    if not found:
        return context
    return replace(context, input=[_restored(item, found) for item in context.input])


def _is_bare(item: Item) -> bool:
    return isinstance(item, FileSearchCall) and item.results is None and item.status in (None, "completed")


def _restored(item: Item, found: dict[str, Sequence[FileSearchResult]]) -> Item:
    results = found.get(item.id or "") if _is_bare(item) else None
    return item if results is None else replace(item, results=results)
