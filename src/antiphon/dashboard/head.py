"""What the pages of one response have in common: the response itself, or what is known of one that was not
stored."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct
from starlette.requests import Request

from antiphon.api.services import project, services
from antiphon.protocol.errors import NotFound
from antiphon.protocol.response import TERMINAL
from antiphon.store.activity import ActivityQuery, ActivityRow
from antiphon.store.recordings import Recording, RecordingEntry

UNSTORED = (("Timeline", "/timeline"), ("Model turns", "/turns"))
TABS = (("Items", ""), *UNSTORED, ("Code", "/code"), ("Ask again", "/again"))
"""The pages: what each is called, and where it is behind the address of the response."""
_DAY = 86_400.0
_LATE = 60.0
"""Seconds by which activity may be written later than its response ended, by the clock of another machine."""
_JUST = 5.0
"""Seconds in which what was recorded of a response that ended may still be on its way to the store."""
_LOOKS = 10
_PAUSE = 0.15


class Known(Struct, frozen=True):
    """What is known of a response. `stored`: whether it is kept; if not, `response` is what became of it."""

    response: Any
    stored: bool
    activity: ActivityRow | None
    entries: Sequence[RecordingEntry]

    @property
    def tabs(self) -> Sequence[tuple[str, str]]:
        return TABS if self.stored else UNSTORED

    @property
    def recordings(self) -> list[Recording]:
        return [entry.recording for entry in self.entries]


def place_of(response_id: str) -> str:
    return f"/dashboard/responses/{quote(response_id, safe='')}"


def helpers_of(response_id: str, tabs: Sequence[tuple[str, str]] = TABS) -> dict[str, Any]:
    """What the layout of these pages shows beside the page's data."""
    place = place_of(response_id)
    return {"place": place, "tabs": [(name, place + behind) for name, behind in tabs]}


async def stored(request: Request) -> tuple[Any, list[Any]]:
    """The response without its items, and its output. Raises NotFound."""
    store, response_id = services(request).store, request.path_params["response_id"]
    found = await store.outline.response(project(request), response_id)
    if found is None:
        raise _not_found()
    return msgspec.json.decode(found.json), [msgspec.json.decode(json) for json in found.output]


async def known(request: Request) -> Known:
    """The response, or what is left of one that was not stored. Raises NotFound."""
    store, owner = services(request).store, project(request)
    response_id = request.path_params["response_id"]
    found = await store.outline.response(owner, response_id)
    response = msgspec.json.decode(found.json) if found else None
    entries = await _entries(request, response)
    activity = await _activity(request, response, [entry.recording for entry in entries])
    if response is None and activity is None:
        raise _not_found()
    return Known(response or _left_of(activity), found is not None, activity, entries)


async def _entries(request: Request, response: Any) -> Sequence[RecordingEntry]:
    """What was recorded; of a response that has just ended it is waited for."""
    store, response_id = services(request).store, request.path_params["response_id"]
    found = await store.recordings.of(project(request), response_id)
    looks = _LOOKS if response and (response.get("completed_at") or 0) > time.time() - _JUST else 0
    for _ in range(0 if found else looks):
        await asyncio.sleep(_PAUSE)
        if found := await store.recordings.of(project(request), response_id):
            break
    return found


async def _activity(request: Request, response: Any, recordings: Sequence[Recording]) -> ActivityRow | None:
    """It is looked for where it must be in time, since it has no index of ids."""
    if response is not None and response["status"] not in TERMINAL:
        return None
    if response is not None:
        begin, end = response["created_at"], response.get("completed_at")
    elif recordings:
        begin, last = recordings[0].started_at, recordings[-1]
        end = last.started_at + last.milliseconds / 1000
    else:
        return None
    query = ActivityQuery(
        project=project(request),
        response_id=request.path_params["response_id"],
        since=begin - _LATE,
        until=end + _LATE if end else begin + _DAY,
        limit=1,
    )
    page = await services(request).store.activity.page(query)
    return page.rows[0].row if page.rows else None


def _left_of(row: ActivityRow | None) -> Any:
    assert row is not None
    return {
        "id": row.response_id,
        "status": row.status,
        "model": row.model,
        "created_at": row.created_at,
        "error": {"code": row.error_code} if row.status == "failed" else None,
        "usage": {"input_tokens": row.input_tokens, "output_tokens": row.output_tokens},
    }


def _not_found() -> NotFound:
    return NotFound("There is no such response: it was not stored, was deleted, or is kept no longer.")
