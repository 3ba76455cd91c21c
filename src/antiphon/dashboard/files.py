"""The list of files."""

from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.files import show as shown
from antiphon.api.services import project, services
from antiphon.dashboard.page import next_page, page, page_query, plain, routes_of


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/files"""
    found = await services(request).files.files(project(request), page_query(request), None)
    data = {"files": plain([shown(row) for row in found.rows]), "next": next_page(request, found)}
    return await page(request, "files.html", data)


routes = routes_of("/dashboard/files", show)
