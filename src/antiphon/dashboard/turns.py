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
from antiphon.store.recordings import RecordingEntry

SHOWN = 100_000
"""Characters of a body that its page shows."""
COLOURED = 20_000
"""Characters of a page that are shown in colours."""
WITH_BODIES = 8 * 2**20
"""Bytes of bodies that are in the page, about; recordings behind them have links to theirs."""
_SIDES = ("request", "answer")


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/responses/{response_id}/turns"""
    found = await known(request)
    recordings, size = [], 0
    for entry in found.entries:
        recordings.append(await _decoded(request, entry, with_bodies=size < WITH_BODIES))
        size += (entry.recording.request_kept or 0) + entry.recording.answer_bytes
    data = {"response": found.response, "recordings": recordings}
    helpers = helpers_of(found.response["id"], found.tabs)
    return await page(request, "turns.html", data, helpers={**helpers, "exchanges": exchanges})


async def body(request: Request) -> HttpResponse:
    """GET /dashboard/responses/{response_id}/turns/{key}/{side}: all that is kept of a body, as it is."""
    names = request.path_params
    key, side = names["key"], names["side"]
    is_one = side in _SIDES and key.isascii() and key.isdigit() and len(key) < 19
    recordings = services(request).store.recordings
    found = await recordings.bodies(project(request), names["response_id"], int(key)) if is_one else None
    if found is None:
        raise NotFound("There is no such recording, or no content is kept of it.")
    headers = {"content-security-policy": POLICY}
    return HttpResponse(getattr(found, side), media_type="text/plain; charset=utf-8", headers=headers)


async def _decoded(request: Request, entry: RecordingEntry, *, with_bodies: bool) -> dict[str, Any]:
    """A recording and its bodies, which are None where they are not kept, or not in the page."""
    recordings, response_id = services(request).store.recordings, request.path_params["response_id"]
    is_kept = entry.recording.request_kept is not None
    found = None
    if is_kept and with_bodies:
        found = await recordings.bodies(project(request), response_id, entry.key)
    members = asdict(entry.recording)
    del members["marks"], members["request_kept"]
    bodies = {side: found and getattr(found, side).decode(errors="replace") for side in _SIDES}
    return {"key": entry.key, "is_kept": is_kept, **members, **bodies}


def exchanges(recordings: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What the page shows of each: beside its members how both bodies are written."""
    left = COLOURED
    for each in recordings:
        bodies = []
        for side in _SIDES:
            written = _written(each[side] or "", left)
            left -= len(written["text"]) if written["language"] else 0
            kept = None if each[side] is None else len(each[side].encode())
            bodies.append({"side": side, "size": each[f"{side}_bytes"], "kept": kept, **written})
        yield {**each, "bodies": bodies}


def _written(body: str, left: int) -> dict[str, Any]:
    """`left`: characters that may have colours."""
    text = pretty(body)
    language = "json" if len(text) <= left and text.startswith(("{", "[")) else ""
    return {"text": text[:SHOWN], "cut": max(0, len(text) - SHOWN), "language": language}


_PLACE = "/dashboard/responses/{response_id}/turns"
routes = [*routes_of(_PLACE, show), Route(f"{_PLACE}/{{key}}/{{side}}", body, methods=["GET"])]
