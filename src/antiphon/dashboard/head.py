"""What the pages of one response have in common."""

from typing import Any
from urllib.parse import quote

import msgspec
from starlette.requests import Request

from antiphon.api.services import project, services
from antiphon.protocol.errors import NotFound

TABS = (("Items", ""),)
"""The pages: what each is called, and where it is behind the address of the response."""


def place_of(response_id: str) -> str:
    return f"/dashboard/responses/{quote(response_id, safe='')}"


def helpers_of(response_id: str) -> dict[str, Any]:
    """What the layout of these pages shows beside the page's data."""
    place = place_of(response_id)
    return {"place": place, "tabs": [(name, place + behind) for name, behind in TABS]}


async def stored(request: Request) -> tuple[Any, list[Any]]:
    """The response without its items, and its output. Raises NotFound."""
    store, response_id = services(request).store, request.path_params["response_id"]
    found = await store.outline.response(project(request), response_id)
    if found is None:
        raise NotFound("There is no such response: it was not stored, was deleted, or is kept no longer.")
    return msgspec.json.decode(found.json), [msgspec.json.decode(json) for json in found.output]
