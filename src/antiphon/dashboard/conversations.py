"""The list of conversations."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.services import project, services
from antiphon.dashboard.page import next_page, page, page_query, routes_of
from antiphon.store.conversations import ConversationRow


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/conversations"""
    found = await services(request).store.conversations.page(project(request), page_query(request))
    data = {"conversations": [shown(row) for row in found.rows], "next": next_page(request, found)}
    return await page(request, "conversations.html", data)


def shown(row: ConversationRow) -> dict[str, object]:
    """What is known of a conversation beside its items."""
    return {"id": row.id, "created_at": row.created_at, "metadata": msgspec.json.decode(row.metadata)}


routes = routes_of("/dashboard/conversations", show)
