"""What is seen growing: server-sent events of the dashboard's own, which `static/live.js` hears.

A response grows by its log, from whatever number the reader has; a list is looked at again when something
came or ended.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp

from antiphon.api.services import Services, project, services
from antiphon.dashboard.feed import Feed, Going
from antiphon.dashboard.growth import grown, grown_here, standing
from antiphon.engine.making import FellBehind, Made, Making, Watch
from antiphon.protocol.errors import NotFound
from antiphon.store.activity import ActivityQuery
from antiphon.store.store import Store

_PAUSE = 1.0
"""Seconds between two looks at the list."""
_END = b"event: end\ndata:\n\n"
_RUNNING = 50
"""Responses of the background whose state is looked at, the newest ones."""


# ---- a response ---------------------------------------------------------------------------------------


async def response(request: Request) -> ASGIApp:
    """GET /dashboard/responses/{response_id}/live"""
    store, owner, response_id = services(request).store, project(request), request.path_params["response_id"]
    after = _after(request)
    making = services(request).engine.making
    if (made := making.get(owner, response_id)) is not None:
        return Feed(lambda going: _growth_here(made, making, going))
    if await store.outline.response(owner, response_id) is None:
        raise NotFound("There is no such response.")
    return Feed(lambda going: _growth(store, owner, response_id, after, going))


async def _growth_here(made: Made, making: Making, going: Going) -> AsyncGenerator[bytes]:
    """Of a response that is made here: what it is so far, and then what comes."""
    watch = Watch(made.log)
    machine = made.log.machine
    with watch.attached(), suppress(FellBehind):
        yield _grow(0, await asyncio.to_thread(standing, machine.snapshot().status, machine.standing()))
        while going():
            events = await watch.events(_PAUSE)
            if events:
                yield _grow(events[-1].sequence_number, await asyncio.to_thread(grown_here, events))
            elif making.get(made.plan.project, machine.id) is not made:
                yield _END
                return
            else:
                yield b""


def _grow(number: int, changes: bytes) -> bytes:
    return b"id: %d\nevent: grow\ndata: %b\n\n" % (number, changes)


async def _growth(
    store: Store, owner: str, response_id: str, after: int, going: Going
) -> AsyncGenerator[bytes]:
    while going():
        found = await store.outline.progress(owner, response_id, after)
        if found is None:  # it has ended, and its log with it
            yield _END
            return
        if found.events:
            after += len(found.events)
            changes = await asyncio.to_thread(grown, found.events)
            yield _grow(after, changes)
        elif found.ended:
            yield _END
            return
        else:
            yield b""
            await store.runs.wait_for_events(response_id)


def _after(request: Request) -> int:
    """The number of the last event that the reader has: as a browser says it who comes again, or as the page
    does."""
    given = request.headers.get("last-event-id") or request.query_params.get("after") or ""
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else -1


# ---- the list -----------------------------------------------------------------------------------------


async def responses(request: Request) -> ASGIApp:
    """GET /dashboard/responses/live"""
    held, owner = services(request), project(request)
    return Feed(lambda going: _changes(held, owner, going))


async def _changes(held: Services, owner: str, going: Going) -> AsyncGenerator[bytes]:
    """The first one is for what came between the page and this."""
    before: object = None
    while going():
        now = await _state(held, owner)
        yield b"event: look\ndata:\n\n" if now != before else b""
        before = now
        await asyncio.sleep(_PAUSE)


async def _state(held: Services, owner: str) -> object:
    """Another one when something came, began or ended."""
    newest = await held.store.activity.page(ActivityQuery(project=owner, limit=1))
    here = [(made.id, made.status) for made in held.engine.making.of(owner)]
    return [entry.key for entry in newest.rows], await held.store.runs.unended(owner, _RUNNING), here


routes = [
    Route("/dashboard/responses/live", responses, methods=["GET"]),
    Route("/dashboard/responses/{response_id}/live", response, methods=["GET"]),
]
