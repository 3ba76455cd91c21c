"""The list of responses: the newest first, filtered, a page at a time."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.services import Services, project, services
from antiphon.dashboard.page import page, routes_of, url_with
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.response import Response
from antiphon.store.activity import ActivityEntry, ActivityQuery, ActivityRow
from antiphon.store.paging import Page
from antiphon.store.store import Store

LIMIT = 50
SEARCHED = 500
"""Responses that are looked through for a text, the newest first, among those that fit the other filters."""
_AT_ONCE = 5
STATUSES = ("completed", "failed", "incomplete", "cancelled", "in_progress", "queued")
_UNENDED = ("in_progress", "queued")
_EQUAL = {"model": "model", "status": "status", "key": "api_key", "conversation": "conversation_id"}
FILTERS = (*_EQUAL, "tool", "text", "since", "until")


class Running(Struct, frozen=True):
    """A response that is queued, or made: in the background, or in this process."""

    id: str
    status: str
    model: str
    created_at: int
    conversation_id: str | None


class Found(Struct, frozen=True):
    """A part of the list. `after`: the cursor behind it, if there is more."""

    entries: Sequence[ActivityRow]
    after: int | None
    searched: int | None = None
    """How many responses were looked through for a text."""


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/responses"""
    params = request.query_params
    query = query_of(project(request), params)
    store = services(request).store
    found = await _found(store, query, params.get("text", ""))
    data = {
        "running": await _running(services(request), query, params),
        "responses": found.entries,
        "searched": found.searched,
        "filters": {name: params.get(name, "") for name in FILTERS},
        "statuses": STATUSES,
        "next": url_with(request, after=str(found.after)) if found.after is not None else None,
    }
    return await page(request, "responses.html", data, helpers={"at_cursor": query.after is not None})


def query_of(project: str, params: QueryParams) -> ActivityQuery:
    """What the filters of the address ask for. Raises InvalidRequest."""
    equal: dict[str, Any] = {member: params.get(name) or None for name, member in _EQUAL.items()}
    return ActivityQuery(
        project=project,
        tool=params.get("tool") or None,
        since=_time(params, "since"),
        until=_time(params, "until"),
        after=_cursor(params),
        limit=LIMIT,
        **equal,
    )


def _time(params: QueryParams, name: str) -> float | None:
    given = params.get(name)
    if not given:
        return None
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise InvalidRequest(f"{name} is a time such as 2026-11-29T04:30.", param=name) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _cursor(params: QueryParams) -> int | None:
    given = params.get("after")
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) < 19):
        raise InvalidRequest("after is a cursor from the page before.", param="after")
    return int(given)


async def _found(store: Store, query: ActivityQuery, text: str) -> Found:
    """Raises UnknownCursor."""
    if text:
        return await _search(store, query, text)
    found = await store.activity.page(query)
    return Found([entry.row for entry in found.rows], _behind(found))


def _behind(found: Page[ActivityEntry]) -> int | None:
    return found.rows[-1].key if found.more else None


async def _search(store: Store, query: ActivityQuery, text: str) -> Found:
    """Responses in whose items the text is, in any case of its letters, as the JSON has it."""
    wanted = msgspec.json.encode(text)[1:-1].lower()
    entries: list[ActivityEntry] = []
    part, searched = replace(query, limit=_AT_ONCE), 0
    while True:
        found = await store.activity.page(part)
        searched += len(found.rows)
        entries += await _having(store, query.project or "", found.rows, wanted)
        if not found.more or len(entries) >= query.limit or searched >= SEARCHED:
            return Found([entry.row for entry in entries], _behind(found), searched)
        part = replace(part, after=found.rows[-1].key)


async def _having(
    store: Store, project: str, entries: Sequence[ActivityEntry], wanted: bytes
) -> list[ActivityEntry]:
    ids = [entry.row.response_id for entry in entries if entry.row.stored]
    found = await store.responses.texts(project, ids) if ids else []
    matching = await asyncio.to_thread(_matching, found, wanted)
    return [entry for entry in entries if entry.row.response_id in matching]


def _matching(found: Sequence[tuple[str, bytes]], wanted: bytes) -> set[str]:
    return {response_id for response_id, json in found if wanted in json.lower()}


async def _running(held: Services, query: ActivityQuery, params: QueryParams) -> list[Running]:
    """What is not ended yet, on the first page of a list that asks for nothing that it cannot have."""
    asks = query.after or query.tool or query.until or query.api_key or params.get("text")
    if asks or (query.status and query.status not in _UNENDED):
        return []
    owner = query.project or ""
    kept = [msgspec.json.decode(json, type=Response) for json in await held.store.runs.unended(owner, LIMIT)]
    here = [made for made in held.engine.making.of(owner) if not made.background]
    shown = [_shown(made) for made in (*here[:LIMIT], *kept)]
    wanted = {"status": query.status, "model": query.model, "conversation_id": query.conversation_id}
    return [each for each in shown if all(v in (None, getattr(each, m)) for m, v in wanted.items())]


def _shown(made: Response) -> Running:
    conversation = made.conversation.id if made.conversation else None
    return Running(made.id, made.status, made.model, made.created_at, conversation)


routes = [*routes_of("/dashboard", show), *routes_of("/dashboard/responses", show)]
