"""Every turn of the model: the request exactly as it was sent upstream, and the answer as it came."""

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec.structs import asdict
from starlette.requests import Request
from starlette.responses import Response as HttpResponse
from starlette.routing import Route

from antiphon.api.services import project, services
from antiphon.dashboard.head import helpers_of, known
from antiphon.dashboard.media import POLICY
from antiphon.dashboard.page import page, routes_of
from antiphon.dashboard.shown import pretty
from antiphon.protocol.errors import NotFound
from antiphon.store.recordings import Recording

SHOWN = 100_000
"""Characters of a body that its page shows."""
COLOURED = 20_000
"""Characters of a page that are shown in colours, which takes a second for a million."""
_SIDES = ("request", "answer")


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/responses/{response_id}/turns"""
    found = await known(request)
    data = {
        "response": found.response,
        "recordings": [_decoded(recording) for recording in found.recordings],
    }
    helpers = helpers_of(found.response["id"], stored=found.stored)
    return await page(request, "turns.html", data, helpers={**helpers, "exchanges": exchanges})


async def body(request: Request) -> HttpResponse:
    """GET /dashboard/responses/{response_id}/turns/{number}/{side}: all that is kept of a body, as it is."""
    names = request.path_params
    number, side = names["number"], names["side"]
    found = await services(request).store.recordings.of(project(request), names["response_id"])
    is_one = side in _SIDES and number.isascii() and number.isdigit() and len(number) < 6
    if not is_one or not 0 < int(number) <= len(found):
        raise NotFound("There is no such recording.")
    content: bytes = getattr(found[int(number) - 1], side) or b""
    headers = {"content-security-policy": POLICY}
    return HttpResponse(content, media_type="text/plain; charset=utf-8", headers=headers)


def _decoded(recording: Recording) -> dict[str, Any]:
    members = asdict(recording)
    for side in _SIDES:
        content: bytes | None = members[side]
        members[side] = None if content is None else content.decode(errors="replace")
    del members["marks"]
    return members


def exchanges(recordings: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What the page shows of each: beside its members how both bodies are written."""
    left = COLOURED
    for each in recordings:
        bodies = []
        for side in _SIDES:
            text = pretty(each[side] or "")
            language = "json" if len(text) <= left and text.startswith(("{", "[")) else ""
            left -= len(text) if language else 0
            cut = max(0, len(text) - SHOWN)
            size, kept = each[f"{side}_bytes"], len((each[side] or "").encode())
            bodies.append(
                {"side": side, "text": text[:SHOWN], "cut": cut, "language": language}
                | {"size": size, "kept": kept, "has": each[side] is not None}
            )
        yield {**each, "bodies": bodies}


routes = [
    *routes_of("/dashboard/responses/{response_id}/turns", show),
    Route("/dashboard/responses/{response_id}/turns/{number}/{side}", body, methods=["GET"]),
]
