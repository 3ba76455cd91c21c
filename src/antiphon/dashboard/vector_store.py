"""One vector store: its files, how far they are indexed, and what a search finds in them."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api import stored_files
from antiphon.api.services import project, services
from antiphon.api.vector_stores import asked_id, faults_of, not_found, result, shown
from antiphon.dashboard.page import page, page_query, plain, routes_of, url_with
from antiphon.retrieval.finder import Query
from antiphon.store.paging import Page, PageQuery
from antiphon.store.vector_files import EntryRow

MOST = 1000
"""Characters of what is looked for."""
_CHOICE = 100
"""Files that can be added to it by their names, the newest ones."""


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/vector_stores/{vector_store_id}"""
    store_id, store = asked_id(request), services(request).store
    row = await store.vector_stores.get(project(request), store_id)
    found = await store.vector_files.page(project(request), store_id, page_query(request))
    if row is None or found is None:
        raise not_found(store_id)
    files = await services(request).files.files(project(request), PageQuery(limit=_CHOICE), None)
    data = {
        "vector_store": plain(shown(row)),
        "files": await _files(request, store_id, found),
        "next": url_with(request, after=found.rows[-1].file_id) if found.more else None,
        "addable": [{"id": file.id, "filename": file.filename} for file in files.rows],
        "query": request.query_params.get("query", "")[:MOST],
        "results": await _results(request, store_id),
    }
    return await page(request, "vector_store.html", data)


async def _files(request: Request, store_id: str, found: Page[EntryRow]) -> list[Any]:
    """The files of the store as the API has them, and what they are called."""
    ids = [row.file_id for row in found.rows]
    names = await services(request).store.vector_files.names(project(request), ids)
    shows = [plain(stored_files.shown(row, store_id)) for row in found.rows]
    return [{**each, "filename": names.get(each["id"], each["id"])} for each in shows]


async def _results(request: Request, store_id: str) -> list[Any] | None:
    """What is found of what the address asks for. None: it asks for nothing."""
    text = request.query_params.get("query", "")[:MOST]
    if not text.strip():
        return None
    with faults_of(store_id):
        found = await services(request).finder.find(project(request), [store_id], Query(texts=[text]))
    return [plain(result(each)) for each in found]


routes = routes_of("/dashboard/vector_stores/{vector_store_id}", show)
