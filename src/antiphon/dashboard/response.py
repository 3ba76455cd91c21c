"""One response: what it read and what it said, as a conversation."""

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.services import project, services
from antiphon.dashboard.head import TABS, helpers_of, stored
from antiphon.dashboard.items import all_shown, without_sealed
from antiphon.dashboard.page import page, routes_of
from antiphon.engine.making import Made
from antiphon.protocol.response import TERMINAL
from antiphon.protocol.wire import encode

_MOST = 200
"""Items of the input that are shown, the newest ones."""


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/responses/{response_id}"""
    owner, response_id = project(request), request.path_params["response_id"]
    made = services(request).engine.making.get(owner, response_id)
    is_stored = made is None or bool(made.plan.request.background)
    data = _made_here(made) if made and not is_stored else await _stored(request)
    helpers = {
        **helpers_of(response_id, TABS if is_stored else TABS[:1]),
        "all_shown": all_shown,
        "unended": data["response"]["status"] not in TERMINAL,
    }
    return await page(request, "response.html", data, helpers=helpers)


def _made_here(made: Made) -> dict[str, Any]:
    """Of a response that is in no store yet."""
    response = msgspec.json.decode(encode(made.log.machine.snapshot()))
    output = response.pop("output")
    read = made.plan.context.input[-_MOST:]
    return {
        "response": response,
        "input": [without_sealed(msgspec.json.decode(encode(item))) for item in read],
        "more_input": len(read) < len(made.plan.context.input) + len(made.plan.context.history),
        "output": [without_sealed(item) for item in output],
    }


async def _stored(request: Request) -> dict[str, Any]:
    response, output = await stored(request)
    read = await services(request).store.outline.input_items(project(request), response["id"], _MOST)
    rows = read.rows[::-1] if read else ()
    return {
        "response": response,
        "input": [without_sealed(msgspec.json.decode(row.json)) for row in rows],
        "more_input": read is not None and read.more,
        "output": [without_sealed(item) for item in output],
    }


routes = routes_of("/dashboard/responses/{response_id}", show)
