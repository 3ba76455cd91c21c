"""The list of prompts."""

from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.prompts import shown
from antiphon.api.services import project, services
from antiphon.dashboard.page import next_page, page, page_query, plain, routes_of


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/prompts"""
    found = await services(request).store.prompts.page(project(request), page_query(request))
    data = {
        "prompts": [plain(await shown(row)) for row in found.rows],
        "next": next_page(request, found),
    }
    return await page(request, "prompts.html", data)


routes = routes_of("/dashboard/prompts", show)
