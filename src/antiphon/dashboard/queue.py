"""Responses in the background: what waits, and what is being made."""

import time
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.services import project, services
from antiphon.dashboard.page import LIMIT, next_page, page, routes_of
from antiphon.protocol.response import Response
from antiphon.store.paging import PageQuery
from antiphon.store.runs import QueuedRun


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/queue: the next one first."""
    query = PageQuery(LIMIT, "asc", request.query_params.get("after") or None)
    found = await services(request).store.runs.page(project(request), query)
    data = {
        "now": int(time.time()),
        "runs": [_shown(row) for row in found.rows],
        "next": next_page(request, found),
    }
    return await page(request, "queue.html", data)


def _shown(row: QueuedRun) -> dict[str, Any]:
    model = msgspec.json.decode(row.response, type=Response).model
    members = msgspec.structs.asdict(row) | {"model": model, "cancelled": bool(row.cancelled)}
    del members["response"]
    return members


routes = routes_of("/dashboard/queue", show)
