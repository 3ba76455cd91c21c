"""The list of vector stores."""

from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.services import project, services
from antiphon.api.vector_stores import shown
from antiphon.dashboard.page import next_page, page, page_query, plain, routes_of


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/vector_stores"""
    found = await services(request).store.vector_stores.page(project(request), page_query(request))
    data = {"vector_stores": plain([shown(row) for row in found.rows]), "next": next_page(request, found)}
    return await page(request, "vector_stores.html", data)


routes = routes_of("/dashboard/vector_stores", show)
