"""The playground: a request is put together and sent, and its answer is shown as it comes.

The page is a form; `playground.js` sends what it says to the API, and reads the stream.
"""

from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.services import project, services
from antiphon.dashboard.page import page, routes_of
from antiphon.store.paging import PageQuery

FILLED = ("model", "instructions", "input", "previous_response_id", "prompt", "version", "variables", "store")
"""Members of the address that fill the form."""
_STORES = 100
"""Vector stores that can be chosen from, the newest ones."""


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/playground"""
    held = services(request)
    stores = await held.store.vector_stores.page(project(request), PageQuery(limit=_STORES))
    data = {
        "models": [model.id for model in await held.engine.router.models()],
        "vector_stores": [{"id": row.id, "name": row.name} for row in stores.rows if not row.expired],
        "filled": {name: request.query_params.get(name, "") for name in FILLED},
    }
    return await page(request, "playground.html", data)


routes = routes_of("/dashboard/playground", show)
