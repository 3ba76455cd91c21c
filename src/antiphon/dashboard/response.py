"""One response: what it read and what it said, as a conversation."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.services import project, services
from antiphon.dashboard.head import helpers_of, stored
from antiphon.dashboard.items import all_shown, without_sealed
from antiphon.dashboard.page import page, routes_of
from antiphon.protocol.response import TERMINAL

_MOST = 200
"""Items of the input that are shown, the newest ones."""


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/responses/{response_id}"""
    response, output = await stored(request)
    read = await services(request).store.outline.input_items(project(request), response["id"], _MOST)
    rows = read.items[::-1] if read else ()
    data = {
        "response": response,
        "input": [without_sealed(msgspec.json.decode(row.json)) for row in rows],
        "more_input": read is not None and read.more,
        "output": [without_sealed(item) for item in output],
    }
    helpers = {
        **helpers_of(response["id"]),
        "all_shown": all_shown,
        "unended": response["status"] not in TERMINAL,
    }
    return await page(request, "response.html", data, helpers=helpers)


routes = routes_of("/dashboard/responses/{response_id}", show)
