"""/v1/conversations (endpoints.md section 2)."""

import time
from collections.abc import Sequence
from typing import TypeVar, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api import pages, parsing
from antiphon.api.body import json
from antiphon.api.services import project, services
from antiphon.guard.offload import in_bytes, offload
from antiphon.protocol.conversation import (
    Conversation,
    CreateConversation,
    CreateItems,
    UpdateConversation,
)
from antiphon.protocol.error_messages import item_not_kept
from antiphon.protocol.errors import InvalidRequest, NotFound
from antiphon.protocol.ids import new_conversation_id, new_item_id
from antiphon.protocol.item import Item
from antiphon.protocol.items import CompactionTrigger, ItemReference
from antiphon.protocol.parse import parse, parse_items
from antiphon.protocol.wire import encode
from antiphon.store.conversations import ConversationRow
from antiphon.store.items import ItemRow
from antiphon.store.paging import Page
from antiphon.store.store import Store

T = TypeVar("T", CreateConversation, CreateItems)


async def create(request: Request) -> HttpResponse:
    """POST /conversations"""
    asked, rows = await _parsed(request, CreateConversation)
    row = ConversationRow(new_conversation_id(), int(time.time()), encode(asked.metadata or {}))
    await _check_room(request, rows)
    await services(request).store.conversations.create(project(request), row, rows)
    return _show(row)


async def retrieve(request: Request) -> HttpResponse:
    """GET /conversations/{id}"""
    return _show(await _stored(request))


async def update(request: Request) -> HttpResponse:
    """POST /conversations/{id}"""
    asked = await parsing.read_as(request, UpdateConversation)
    conversation_id = request.path_params["conversation_id"]
    row = await services(request).store.conversations.update(
        project(request), conversation_id, encode(asked.metadata or {})
    )
    if row is None:
        raise _not_found(conversation_id)
    return _show(row)


async def delete(request: Request) -> HttpResponse:
    """DELETE /conversations/{id}"""
    conversation_id = request.path_params["conversation_id"]
    if not await services(request).store.conversations.delete(project(request), conversation_id):
        raise _not_found(conversation_id)
    return json({"id": conversation_id, "object": "conversation.deleted", "deleted": True})


async def create_items(request: Request) -> HttpResponse:
    """POST /conversations/{id}/items"""
    pages.check_members(request.query_params, ("include",))
    shows = pages.asked(request.query_params)
    _, rows = await _parsed(request, CreateItems)
    await _check_room(request, rows)
    conversation_id = request.path_params["conversation_id"]
    if not await services(request).store.conversations.add_items(project(request), conversation_id, rows):
        raise _not_found(conversation_id)
    return await pages.show_items(Page(rows, more=False), shows)


async def list_items(request: Request) -> HttpResponse:
    """GET /conversations/{id}/items"""
    query = pages.page_query(request.query_params, ("include",))
    shows = pages.asked(request.query_params)
    conversation_id = request.path_params["conversation_id"]
    page = await services(request).store.conversations.items(project(request), conversation_id, query)
    if page is None:
        raise _not_found(conversation_id)
    return await pages.show_items(page, shows)


async def retrieve_item(request: Request) -> HttpResponse:
    """GET /conversations/{id}/items/{item_id}"""
    pages.check_members(request.query_params, ("include",))
    shows = pages.asked(request.query_params)
    conversation_id, item_id = request.path_params["conversation_id"], request.path_params["item_id"]
    found = await services(request).store.conversations.item(project(request), conversation_id, item_id)
    if found is None:
        raise _item_not_found(conversation_id, item_id)
    return json(msgspec.Raw(await offload(in_bytes(len(found)), shows.stored_item, found)))


async def delete_item(request: Request) -> HttpResponse:
    """DELETE /conversations/{id}/items/{item_id}: gives the conversation (behaviours.md section 7.8)."""
    conversation_id, item_id = request.path_params["conversation_id"], request.path_params["item_id"]
    store = services(request).store
    if not await store.conversations.delete_item(project(request), conversation_id, item_id):
        raise _item_not_found(conversation_id, item_id)
    return _show(await _stored(request))


async def _stored(request: Request) -> ConversationRow:
    conversation_id = request.path_params["conversation_id"]
    row = await services(request).store.conversations.get(project(request), conversation_id)
    if row is None:
        raise _not_found(conversation_id)
    return row


async def _parsed(request: Request, kind: type[T]) -> tuple[T, list[ItemRow]]:
    """The body of the request, and its items as they are kept. Raises InvalidRequest."""
    held = services(request)
    lenient = held.config.server.lenient

    def make(body: bytes) -> tuple[T, list[ItemRow | ItemReference]]:
        asked = parse(body, kind, lenient)
        return asked, _rows(asked.items or (), lenient)

    asked, rows = await parsing.read(request, make, empty=b"{}" if kind is CreateConversation else b"")
    return asked, [await _resolved(held.store, project(request), row) for row in rows]


def _rows(raws: Sequence[msgspec.Raw], lenient: bool) -> list[ItemRow | ItemReference]:
    """The items, as they are kept; a reference as it is. Raises InvalidRequest."""
    rows: list[ItemRow | ItemReference] = []
    for index, item in enumerate(parse_items(raws, "items", lenient)):
        if isinstance(item, CompactionTrigger):
            raise InvalidRequest(
                "An item of type 'compaction_trigger' cannot be kept in a conversation: it asks for a "
                "compaction, which a response makes. Send it as the last input item of POST /responses.",
                param=f"items[{index}]",
                code="invalid_value",
            )
        rows.append(item if isinstance(item, ItemReference) else _row(cast(Item, item)))
    return rows


def _row(item: Item) -> ItemRow:
    stored = item.stored(new_item_id)
    return ItemRow(cast(str, stored.id), encode(stored))


async def _resolved(store: Store, project: str, row: ItemRow | ItemReference) -> ItemRow:
    """The stored item that a reference stands for. Raises NotFound."""
    if isinstance(row, ItemRow):
        return row
    json = await store.items.get(project, row.id)
    if json is None:
        raise item_not_kept(row.id, "items")
    return ItemRow(row.id, json)


async def _check_room(request: Request, rows: Sequence[ItemRow]) -> None:
    """Raises TooMuchStored unless the project may keep the items too."""
    await services(request).store.usage.check(project(request), sum(len(row.json) for row in rows))


def _show(row: ConversationRow) -> HttpResponse:
    return json(Conversation(id=row.id, created_at=row.created_at, metadata=msgspec.Raw(row.metadata)))


def _not_found(conversation_id: str) -> NotFound:
    return NotFound(f"Conversation with id '{conversation_id}' not found.")


def _item_not_found(conversation_id: str, item_id: str) -> NotFound:
    return NotFound(f"Item with id '{item_id}' not found in conversation '{conversation_id}'.")


_ONE = "/v1/conversations/{conversation_id}"

routes = [
    Route("/v1/conversations", create, methods=["POST"]),
    Route(_ONE, retrieve, methods=["GET"]),
    Route(_ONE, update, methods=["POST"]),
    Route(_ONE, delete, methods=["DELETE"]),
    Route(f"{_ONE}/items", create_items, methods=["POST"]),
    Route(f"{_ONE}/items", list_items, methods=["GET"]),
    Route(f"{_ONE}/items/{{item_id}}", retrieve_item, methods=["GET"]),
    Route(f"{_ONE}/items/{{item_id}}", delete_item, methods=["DELETE"]),
]
