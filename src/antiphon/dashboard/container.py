"""One container: what it is, and its files."""

from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.container_files import shown as shown_file
from antiphon.api.containers import asked_id, not_found, shown
from antiphon.api.services import project, services
from antiphon.dashboard.page import next_page, page, page_query, plain, routes_of
from antiphon.store.paging import Page


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/containers/{container_id}: to look does not keep it alive."""
    container_id, store = asked_id(request), services(request).store
    row = await store.containers.get(project(request), container_id)
    if row is None:
        raise not_found()
    found = None
    if not row.expired:
        found = await store.container_files.page(project(request), container_id, page_query(request))
    found = found or Page([], more=False)
    data = {
        "container": plain(shown(row)),
        "files": plain([shown_file(file, container_id) for file in found.rows]),
        "next": next_page(request, found),
    }
    return await page(request, "container.html", data)


routes = routes_of("/dashboard/containers/{container_id}", show)
