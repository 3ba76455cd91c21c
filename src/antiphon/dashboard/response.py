"""One response: what it read and what it said, as a conversation."""

from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.services import project, services
from antiphon.dashboard.page import page, routes_of
from antiphon.protocol.errors import NotFound
from antiphon.protocol.projection import projection
from antiphon.store.paging import PageQuery

_MOST = 200
"""Items of the input that are shown, the newest ones."""
_PARTS = frozenset({"input_text", "output_text", "text", "refusal", "summary_text", "reasoning_text"})


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/responses/{response_id}"""
    response_id = request.path_params["response_id"]
    store, shows = services(request).store, projection(None)
    found = await store.responses.get(project(request), response_id)
    read = await store.responses.input_items(project(request), response_id, PageQuery(limit=_MOST))
    if found is None or read is None:
        raise NotFound("There is no such response: it was not stored, was deleted, or is kept no longer.")
    newest_last = [row.json for row in reversed(read.items)]
    data = {
        "response": msgspec.json.decode(found.json),
        "input": _decoded([shows.stored_item(json) for json in newest_last]),
        "more_input": read.more,
        "output": _decoded([shows.stored_item(json) for json in found.output]),
    }
    return await page(request, "response.html", data, helpers=HELPERS)


def _decoded(jsons: Sequence[bytes]) -> list[Any]:
    return [msgspec.json.decode(json) for json in jsons]


def texts(parts: Any) -> list[str]:
    """The texts of an item's content, in whatever form a client wrote it."""
    if isinstance(parts, str):
        return [parts]
    found = [part for part in parts or () if isinstance(part, dict) and part.get("type") in _PARTS]
    return [part.get("text") or part.get("refusal") or "" for part in found]


def others(parts: Any) -> list[Any]:
    """The other parts of it: pictures, files, audio."""
    if not isinstance(parts, list):
        return []
    return [part for part in parts if not isinstance(part, dict) or part.get("type") not in _PARTS]


def citations(parts: Any) -> list[Any]:
    """What its texts cite."""
    found = [part.get("annotations") or () for part in parts or () if isinstance(part, dict)]
    return [each for some in found for each in some]


HELPERS = {"texts": texts, "others": others, "citations": citations}
"""What the template asks of items."""

routes = routes_of("/dashboard/responses/{response_id}", show)
