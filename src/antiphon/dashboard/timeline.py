"""What happened when, while a response was made: its requests upstream, its items, the calls that ran."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from antiphon.api.services import project, services
from antiphon.dashboard.head import Known, helpers_of, known
from antiphon.dashboard.page import page, routes_of
from antiphon.store.outline import Outline
from antiphon.store.recordings import Mark

_EVENTS = 20_000
"""Events of a log that are looked through."""
_ROWS = 500
"""Rows of them that are shown."""
WIDTH = 1000
"""Of the picture, in its own units."""


class Span(Struct, frozen=True):
    """Something that took its time. `begin` and `milliseconds` are milliseconds, `begin` since the first of
    all; None: it did not end."""

    kind: str
    name: str
    begin: int
    milliseconds: int | None
    note: str = ""
    where: str = ""
    """Behind the address of the response."""


async def show(request: Request) -> HttpResponse:
    """GET /dashboard/responses/{response_id}/timeline"""
    found, store = await known(request), services(request).store
    response, owner = found.response, project(request)
    spans = sorted(_spans(found), key=lambda span: span.begin)
    data = {
        "response": response,
        "activity": found.activity,
        "began_at": _began(found),
        "spans": spans,
        "events": await _events(store.outline, owner, response["id"]),
        "continues": response.get("previous_response_id"),
        "continued_by": await store.outline.following(owner, response["id"]),
        "conversation": (response.get("conversation") or {}).get("id"),
    }
    helpers = {**helpers_of(response["id"], found.tabs), "width": WIDTH, "scale": _scale(spans)}
    return await page(request, "timeline.html", data, helpers=helpers)


def _began(found: Known) -> float:
    """Seconds since the epoch."""
    first = [recording.started_at for recording in found.recordings]
    row = found.activity
    whole = [row.ended_at - row.milliseconds / 1000] if row else []
    return min([*first, *whole], default=float(found.response["created_at"]))


def _spans(found: Known) -> Iterator[Span]:
    began = _began(found)
    if (row := found.activity) is not None:
        begin = max(0, round((row.ended_at - began) * 1000) - row.milliseconds)
        first = "" if row.first_milliseconds is None else f"first output after {row.first_milliseconds} ms"
        yield Span("response", row.status, begin, row.milliseconds, first)
    for number, each in enumerate(found.recordings, 1):
        begin = round((each.started_at - began) * 1000)
        note = f"HTTP {each.status}" if each.status else each.error or "no answer"
        name = f"turn {each.turn}" if each.turn else "before the first turn"
        yield Span("upstream", name, begin, each.milliseconds, note, f"/turns#exchange-{number}")
        yield from (_marked(mark, began) for mark in each.marks)


def _marked(mark: Mark, began: float) -> Span:
    begin, where = round((mark.at - began) * 1000), f"#{mark.id}" if mark.what == "item" else ""
    return Span(mark.what, mark.name, begin, mark.milliseconds, mark.outcome or "", where)


def _scale(spans: Sequence[Span]) -> float:
    """Units of the picture for a millisecond."""
    return WIDTH / max([1, *(span.begin + (span.milliseconds or 0) for span in spans)])


# ---- the log ------------------------------------------------------------------------------------------


async def _events(outline: Outline, owner: str, response_id: str) -> list[dict[str, Any]]:
    """The log of a response that has one, deltas that follow each other as one row."""
    rows: list[dict[str, Any]] = []
    after = -1
    while after < _EVENTS and len(rows) < _ROWS:
        found = await outline.progress(owner, response_id, after)
        if found is None or not found.events:
            break
        after += len(found.events)
        for event in found.events:
            _add(rows, msgspec.json.decode(event, type=_Event))
    return rows


class _Event(Struct, frozen=True):
    type: str
    sequence_number: int
    output_index: int | None = None


def _add(rows: list[dict[str, Any]], event: _Event) -> None:
    if rows and event.type.endswith(".delta"):
        last = rows[-1]
        if (last["type"], last["output_index"]) == (event.type, event.output_index):
            last["last"] = event.sequence_number
            return
    number = event.sequence_number
    rows.append({"type": event.type, "output_index": event.output_index, "first": number, "last": number})


routes = routes_of("/dashboard/responses/{response_id}/timeline", show)
