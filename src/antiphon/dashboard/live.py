"""What is seen growing: server-sent events of the dashboard's own, which `static/live.js` hears.

A response grows by its log, from whatever number the reader has; a list is looked at again when something
came or ended. No reader keeps a place for long: whoever still looks comes again, with what it has.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from antiphon.api.disconnect import connected
from antiphon.api.protocol import STOPPING
from antiphon.api.services import Services, project, services
from antiphon.api.sse import HEADERS
from antiphon.dashboard.growth import grown, grown_here, standing
from antiphon.engine.making import FellBehind, Made, Making, Watch
from antiphon.protocol.errors import NotFound, Unavailable
from antiphon.store.activity import ActivityQuery
from antiphon.store.store import Store

MOST = 64
"""Readers at once, in a process."""
SECONDS = 600.0
"""For which a reader has its place."""
_PAUSE = 1.0
"""Seconds between two looks at the list."""
_SILENCE = 15.0
"""Seconds after which a comment keeps the connection open."""
_COMMENT = b": nothing new\n\n"
_END = b"event: end\ndata:\n\n"
_RUNNING = 50

Going = Callable[[], bool]
Bodies = Callable[[Going], AsyncIterator[bytes]]
"""What is sent, as long as it is to go on; nothing is a pause."""


class Places:
    """How many readers there may be."""

    def __init__(self, most: int) -> None:
        self._left = most

    @contextmanager
    def one(self) -> Iterator[None]:
        """Raises Unavailable."""
        if self._left == 0:
            raise Unavailable("Too many pages are kept up to date. Load this one again.", retry_after=5)
        self._left -= 1
        try:
            yield
        finally:
            self._left += 1


places = Places(MOST)


class Feed:
    """An ASGI response that goes on until there is no more, or its time is over."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        until = time.monotonic() + SECONDS

        def going() -> bool:
            return STOPPING not in scope and time.monotonic() < until

        with places.one(), connected(scope):
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            async for body in _kept_open(self._bodies(going)):
                await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _kept_open(bodies: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield _COMMENT
    sent = time.monotonic()
    async for body in bodies:
        if body or time.monotonic() > sent + _SILENCE:
            yield body or _COMMENT
            sent = time.monotonic()


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


async def _growth_here(made: Made, making: Making, going: Going) -> AsyncIterator[bytes]:
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
) -> AsyncIterator[bytes]:
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


async def _changes(held: Services, owner: str, going: Going) -> AsyncIterator[bytes]:
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
    return [entry.key for entry in newest.entries], await held.store.runs.unended(owner, _RUNNING), here


routes = [
    Route("/dashboard/responses/live", responses, methods=["GET"]),
    Route("/dashboard/responses/{response_id}/live", response, methods=["GET"]),
]
