"""Pictures that clients send back without the picture: it is stored, and found by the id of its item.

So a picture is changed in a later request by `{"type": "image_generation_call", "id": "ig_..."}` in its
input.
"""

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from antiphon.engine.prepare.request_context import RequestContext
from antiphon.engine.prepare.stored_items import stored_item
from antiphon.protocol.error_messages import item_not_kept
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.item import InputItem, Item
from antiphon.protocol.items import ImageGenerationCall
from antiphon.store.store import Store

_MOST = 64
"""Of one request."""
_MOST_BYTES = 256 * 2**20


async def with_pictures(
    store: Store, project: str, context: RequestContext, given: Sequence[InputItem]
) -> RequestContext:
    """The context, in which the input's pictures are there. `given`: the items as the client sent them.
    Raises NotFound, or InvalidRequest."""
    wanted = list(dict.fromkeys(_wanted(given)))
    if not wanted:
        return context
    if len(wanted) > _MOST:
        raise _too_many(f"A request can refer to {_MOST} pictures by their ids at most.")
    found: dict[str, Item] = {}
    size = 0
    for item_id in wanted:
        row = await store.items.get(project, item_id)
        item = await stored_item(row)
        if not isinstance(item, ImageGenerationCall):
            raise item_not_kept(item_id, "input")
        size += len(row or b"")
        if size > _MOST_BYTES:
            raise _too_many(f"The pictures that the request refers to are larger than {_MOST_BYTES} bytes.")
        found[item_id] = item
    return replace(context, input=[found.get(item.id or "", item) for item in context.input])


def _wanted(items: Sequence[InputItem]) -> Iterator[str]:
    for item in items:
        if isinstance(item, ImageGenerationCall) and item.id and _is_bare(item):
            yield item.id


def _is_bare(item: ImageGenerationCall) -> bool:
    return not item.result and item.status in (None, "completed")


def _too_many(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="input", code="request_too_large")
