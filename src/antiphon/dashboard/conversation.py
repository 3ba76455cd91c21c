"""One conversation: its items, the newest part of it first."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.services import project, services
from antiphon.dashboard.conversations import shown
from antiphon.dashboard.items import all_shown, without_sealed
from antiphon.dashboard.page import page, page_query, routes_of, url_with
from antiphon.protocol.errors import NotFound


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/conversations/{conversation_id}"""
    conversation_id, store = request.path_params["conversation_id"], services(request).store
    row = await store.conversations.get(project(request), conversation_id)
    found = await store.outline.conversation_items(project(request), conversation_id, page_query(request))
    if row is None or found is None:
        raise NotFound("There is no such conversation: it was not made here, or was deleted.")
    data = {
        "conversation": shown(row),
        "items": [without_sealed(msgspec.json.decode(each.json)) for each in found.rows[::-1]],
        "next": url_with(request, after=found.rows[-1].id) if found.more else None,
    }
    return await page(request, "conversation.html", data, helpers={"all_shown": all_shown})


routes = routes_of("/dashboard/conversations/{conversation_id}", show)
