"""The list of containers."""

from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.containers import shown
from antiphon.api.services import project, services
from antiphon.dashboard.page import next_page, page, page_query, plain, routes_of


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/containers"""
    found = await services(request).store.containers.page(project(request), page_query(request))
    data = {"containers": plain([shown(row) for row in found.rows]), "next": next_page(request, found)}
    return await page(request, "containers.html", data)


routes = routes_of("/dashboard/containers", show)
