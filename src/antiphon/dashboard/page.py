"""How a page is shown: as HTML by its template, and as JSON under its address with `.json` behind it."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from jinja2 import ChainableUndefined, Environment, PackageLoader
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon import __version__
from antiphon.api.body import json
from antiphon.api.pages import HasId
from antiphon.dashboard import shown
from antiphon.dashboard.markdown import code, markdown
from antiphon.protocol.errors import NotFound
from antiphon.protocol.wire import encode
from antiphon.store.paging import Page, PageQuery

_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
LIMIT = 50
"""Rows of a list that a page shows."""
_NAVIGATION = [
    ("Responses", "/dashboard/responses"),
    ("Playground", "/dashboard/playground"),
    ("Conversations", "/dashboard/conversations"),
    ("Prompts", "/dashboard/prompts"),
    ("Files", "/dashboard/files"),
    ("Vector stores", "/dashboard/vector_stores"),
    ("Containers", "/dashboard/containers"),
    ("Queue", "/dashboard/queue"),
    ("Webhooks", "/dashboard/webhooks"),
    ("Usage", "/dashboard/usage"),
    ("Keys", "/dashboard/keys"),
]
"""What is at the top of every page: a page that is added is named here."""

Endpoint = Callable[[Request], Awaitable[HttpResponse]]


class _Static(NamedTuple):
    content: bytes
    media_type: str
    version: str


@cache
def environment() -> Environment:
    """Where templates are."""
    made = Environment(
        loader=PackageLoader("antiphon.dashboard"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=ChainableUndefined,
    )
    made.filters.update(shown.FILTERS, markdown=markdown, code=code)
    made.globals.update(static=static_url, navigation=_NAVIGATION, version=__version__)
    return made


def routes_of(path: str, endpoint: Endpoint) -> list[Route]:
    """The routes of a page: its own, and that of its JSON."""
    return [Route(f"{path}.json", endpoint, methods=["GET"]), Route(path, endpoint, methods=["GET"])]


def wants_json(request: Request) -> bool:
    """Whether it is the JSON of a page that is asked for, or the API."""
    return request.url.path.endswith(".json") or request.url.path.startswith("/dashboard/v1/")


async def page(
    request: Request,
    template: str,
    data: Mapping[str, Any],
    status: int = 200,
    helpers: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """The page. `data` is what the template shows, and all of the JSON; `helpers` is what the
    template needs beside it. Templates are rendered in a thread: texts may be long."""
    if wants_json(request):
        return json(data, status)
    context = {**data, **(helpers or {}), "visitor": request.scope.get("visitor"), "path": request.url.path}
    html = await asyncio.to_thread(environment().get_template(template).render, context)
    return HTMLResponse(html, status)


def url_with(request: Request, **changes: str | None) -> str:
    """The address of this page with other members of the query; None: without."""
    members = {**request.query_params, **changes}
    query = urlencode({name: value for name, value in members.items() if value})
    return f"{request.url.path}?{query}" if query else request.url.path


def plain(value: object) -> Any:
    """An object of the API as its JSON has it, for templates."""
    return msgspec.json.decode(encode(value))


def page_query(request: Request) -> PageQuery:
    """Which part of a list the address asks for."""
    return PageQuery(limit=LIMIT, after=request.query_params.get("after") or None)


def next_page(request: Request, found: Page[HasId]) -> str | None:
    """The address of the part of the list behind the one that was found; None: there is no more."""
    return url_with(request, after=found.rows[-1].id) if found.more and found.rows else None


# ---- what browsers fetch beside pages --------------------------------------------------------------------


@cache
def _statics() -> Mapping[str, _Static]:
    found = {}
    for file in (files("antiphon.dashboard") / "static").iterdir():
        content = file.read_bytes()
        media_type = _TYPES.get(file.name.rpartition(".")[2], "text/plain")
        found[file.name] = _Static(content, media_type, hashlib.sha256(content).hexdigest()[:12])
    return found


def static_url(name: str) -> str:
    """Where a file of static/ is: its content never changes there."""
    return f"/dashboard/static/{name}?v={_statics()[name].version}"


async def static(request: Request) -> HttpResponse:
    """GET /dashboard/static/{name}"""
    found = _statics().get(request.path_params["name"])
    if found is None:
        raise NotFound("There is no such file.")
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return HttpResponse(found.content, media_type=found.media_type, headers=headers)
