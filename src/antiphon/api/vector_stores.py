"""/v1/vector_stores (endpoints.md section 4): the stores, and searches in them."""

import contextlib
import re
from collections.abc import Iterator

import msgspec
from msgspec import UNSET
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api import answered, pages, parsing, stored_files
from antiphon.api.admission import admit, settle
from antiphon.api.body import json
from antiphon.api.services import project, services
from antiphon.engine.rewriting import Rewritten
from antiphon.protocol import error_messages
from antiphon.protocol.errors import InvalidRequest, NotFound, UpstreamError
from antiphon.protocol.ids import new_vector_store_id
from antiphon.protocol.vector_stores import (
    CreateVectorStore,
    ExpiresAfter,
    SearchContent,
    SearchRanking,
    SearchRequest,
    SearchResult,
    UpdateVectorStore,
    VectorStore,
)
from antiphon.protocol.wire import encode
from antiphon.retrieval.embedder import EmbedderError
from antiphon.retrieval.filters import FilterTooLarge
from antiphon.retrieval.finder import Found, NoSuchStore, Query, StoreExpired, WrongEmbedder
from antiphon.store.vector_stores import NewStore, StoreChange, StoreRow
from antiphon.tools.search_filters import search_filter

_ID = re.compile(r"[A-Za-z0-9_-]+").fullmatch
RESULTS = 10
"""Of a search, unless it says how many."""
MOST_QUERIES = 32


async def create(request: Request) -> HttpResponse:
    """POST /vector_stores"""
    asked = await parsing.read_as(request, CreateVectorStore)
    held = services(request)
    if asked.chunking_strategy is not None and not asked.file_ids:
        raise InvalidRequest(
            "'chunking_strategy' is only for a store that is made with 'file_ids'.", param="chunking_strategy"
        )
    entries = stored_files.alike(asked.file_ids or (), None, asked.chunking_strategy)
    await stored_files.check(request, [entry.file_id for entry in entries], "file_ids")
    await held.store.usage.check(project(request))
    new = NewStore(
        id=new_vector_store_id(),
        name=asked.name or "",
        description=asked.description,
        metadata=encode(asked.metadata or {}),
        expires_days=asked.expires_after.days if asked.expires_after else None,
        embedder=held.embedder.name,
    )
    row = await held.store.vector_stores.create(project(request), new, entries)
    held.jobs.wake()
    return _show(row)


async def list_stores(request: Request) -> HttpResponse:
    """GET /vector_stores"""
    query = pages.page_query(request.query_params, ("before",))
    page = await services(request).store.vector_stores.page(project(request), query)
    return pages.show_rows(page, shown)


async def retrieve(request: Request) -> HttpResponse:
    """GET /vector_stores/{id}"""
    store_id = asked_id(request)
    row = await services(request).store.vector_stores.get(project(request), store_id)
    if row is None:
        raise not_found(store_id)
    return _show(row)


async def update(request: Request) -> HttpResponse:
    """POST /vector_stores/{id}"""
    store_id = asked_id(request)
    asked = await parsing.read_as(request, UpdateVectorStore)
    change = StoreChange(
        name=asked.name,
        metadata=None if asked.metadata is UNSET else encode(asked.metadata or {}),
        expires=_expires(asked),
    )
    row = await services(request).store.vector_stores.update(project(request), store_id, change)
    if row is None:
        raise not_found(store_id)
    return _show(row)


async def delete(request: Request) -> HttpResponse:
    """DELETE /vector_stores/{id}: the files stay."""
    store_id = asked_id(request)
    held = services(request)
    if not await held.store.vector_stores.delete(project(request), store_id):
        raise not_found(store_id)
    held.jobs.wake()
    return json({"id": store_id, "object": "vector_store.deleted", "deleted": True})


def asked_id(request: Request) -> str:
    """The store that the path names. Raises InvalidRequest for what can be no id."""
    store_id: str = request.path_params["vector_store_id"]
    if not _ID(store_id):
        raise error_messages.wrong_id("vector_store_id", store_id)
    return store_id


def not_found(store_id: str) -> NotFound:
    return NotFound(f"No vector store found with id '{store_id}'.")


def shown(row: StoreRow) -> VectorStore:
    """The VectorStore object."""
    expires = None if row.expires_days is None else ExpiresAfter("last_active_at", row.expires_days)
    return VectorStore(
        id=row.id,
        created_at=row.created_at,
        name=row.name,
        description=row.description,
        usage_bytes=row.usage_bytes,
        file_counts=stored_files.counts(row.counts),
        status="expired" if row.expired else "in_progress" if row.counts.in_progress else "completed",
        expires_after=expires,
        expires_at=row.expires_at,
        last_active_at=row.last_active_at,
        metadata=msgspec.Raw(row.metadata),
    )


def _show(row: StoreRow) -> HttpResponse:
    return json(shown(row), headers=stored_files.pace(row.counts))


def _expires(asked: UpdateVectorStore) -> tuple[int | None] | None:
    if isinstance(asked.expires_after, msgspec.UnsetType):
        return None
    return (asked.expires_after.days if asked.expires_after else None,)


# ---- searches ---------------------------------------------------------------------------------------


async def search(request: Request) -> HttpResponse:
    """POST /vector_stores/{id}/search"""
    store_id = asked_id(request)
    asked = await parsing.read_as(request, SearchRequest)
    query = _query(asked)
    headers: answered.Headers = []
    finder = services(request).finder
    with faults_of(store_id):
        if asked.rewrite_query:
            await finder.check(project(request), [store_id])
            rewritten = await _rewritten(request, query)
            query, headers = replace(query, texts=rewritten.texts), _warnings(rewritten)
        found = await finder.find(project(request), [store_id], query)
    return json(
        {
            "object": "vector_store.search_results.page",
            "search_query": query.texts,
            "data": [result(each) for each in found],
            "has_more": False,
            "next_page": None,
        },
        headers=headers,
    )


async def _rewritten(request: Request, query: Query) -> Rewritten:
    """What the model takes counts to the key, which needs no right to that model: the operator chose it.
    Raises InvalidRequest, or RateLimited."""
    await admit(request, None, sum(map(len, query.texts)))
    rewritten = await services(request).rewriter.rewrite(query.texts)
    settle(request.scope, rewritten.tokens)
    return rewritten


@contextlib.contextmanager
def faults_of(store_id: str) -> Iterator[None]:
    """Faults of a search, as the API says them."""
    try:
        yield
    except NoSuchStore:
        raise not_found(store_id) from None
    except StoreExpired as error:
        raise InvalidRequest(str(error)) from None
    except WrongEmbedder as error:
        raise InvalidRequest(str(error), code="wrong_embedder") from None
    except EmbedderError as error:
        raise UpstreamError(str(error), code="embeddings_failed") from None


def _warnings(rewritten: Rewritten) -> answered.Headers:
    if rewritten.warning is None:
        return []
    return [(answered.WARNINGS, answered.listed([rewritten.warning]))]


def _query(asked: SearchRequest) -> Query:
    """Raises InvalidRequest."""
    texts = [asked.query] if isinstance(asked.query, str) else asked.query
    if not texts or not all(text.strip() for text in texts):
        raise InvalidRequest("Invalid 'query': there is nothing to look for.", param="query")
    if len(texts) > MOST_QUERIES:
        raise error_messages.too_long("query", texts, MOST_QUERIES, "array")
    ranking = asked.ranking_options or SearchRanking()
    try:
        filters = search_filter(asked.filters) if asked.filters is not None else None
    except FilterTooLarge as error:
        raise InvalidRequest(str(error), param="filters") from None
    return Query(
        texts=texts,
        filters=filters,
        most=asked.max_num_results or RESULTS,
        ranker="none" if ranking.ranker == "none" else "auto",
        threshold=ranking.score_threshold or 0.0,
    )


def result(found: Found) -> SearchResult:
    """What was found, as the API shows it."""
    return SearchResult(
        file_id=found.file_id,
        filename=found.filename,
        score=found.score,
        attributes=msgspec.Raw(encode(found.attributes)),
        content=[SearchContent(text=found.text)],
    )


_ONE = "/v1/vector_stores/{vector_store_id}"

routes = [
    Route("/v1/vector_stores", create, methods=["POST"]),
    Route("/v1/vector_stores", list_stores, methods=["GET"]),
    Route(_ONE, retrieve, methods=["GET"]),
    Route(_ONE, update, methods=["POST"]),
    Route(_ONE, delete, methods=["DELETE"]),
    Route(f"{_ONE}/search", search, methods=["POST"]),
]
