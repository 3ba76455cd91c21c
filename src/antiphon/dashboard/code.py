"""A response's request as code, to be copied: for curl, and for Python."""

import asyncio
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.dashboard.asked import asked, with_data
from antiphon.dashboard.head import helpers_of
from antiphon.dashboard.media import POLICY
from antiphon.dashboard.page import page, routes_of
from antiphon.dashboard.snippets import base_url, curl, python
from antiphon.protocol.errors import NotFound
from antiphon.protocol.tools import REDACTED

SHOWN = 20_000
"""Characters of each that the page shows; what is copied has all."""
_WRITTEN = {"curl": curl, "python": python}


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/responses/{response_id}/code"""
    response, body = await asked(request)
    streamed = _streamed(request, body)
    base = _base(request)
    written, lacking = await asyncio.to_thread(_written, base, streamed)
    data = {"response": response, "request": streamed, "stream": bool(streamed.get("stream")), **written}
    helpers = {**helpers_of(response["id"]), "lacks": lacking, "most": SHOWN}
    return await page(request, "code.html", data, helpers=helpers)


async def whole(request: Request) -> HttpResponse:
    """GET /dashboard/responses/{response_id}/code/{language}: all of it, with its pictures."""
    write = _WRITTEN.get(request.path_params["language"])
    if write is None:
        raise NotFound("There is no such code.")
    _, body = await asked(request)
    filled = await with_data(request, _streamed(request, body))
    text = await asyncio.to_thread(lambda: write(_base(request), msgspec.json.decode(filled)))
    return HttpResponse(text, media_type="text/plain", headers={"content-security-policy": POLICY})


def _written(base: str, body: dict[str, Any]) -> tuple[dict[str, str], list[str]]:
    """The code, and what it lacks."""
    return {name: write(base, body) for name, write in _WRITTEN.items()}, lacks(body)


def lacks(body: dict[str, Any]) -> list[str]:
    """What of the request is not kept, in words."""
    words = []
    if f'"{REDACTED}"' in msgspec.json.encode(body).decode():
        words.append(f"Secrets are not kept: put them where it says {REDACTED}.")
    if any(tool.get("server_url") for tool in body.get("tools", ()) if tool.get("type") == "mcp"):
        words.append("Of an MCP server's address only the host is kept, and its calls ask for approval.")
    return words


def _streamed(request: Request, body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "stream": True} if request.query_params.get("stream") == "true" else body


def _base(request: Request) -> str:
    return base_url(request.url.scheme, request.headers.get("host", ""))


_PLACE = "/dashboard/responses/{response_id}/code"
routes = [*routes_of(_PLACE, show), Route(f"{_PLACE}/{{language}}", whole, methods=["GET"])]
