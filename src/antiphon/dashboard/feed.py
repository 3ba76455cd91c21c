"""Server-sent events of the dashboard: so many readers at once, none for long, and none who waits when the
server stops. Whoever still reads comes again, with what it has.
"""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager

from starlette.types import Receive, Scope, Send

from antiphon.api.disconnect import connected
from antiphon.api.protocol import STOPPING
from antiphon.api.sse import HEADERS
from antiphon.protocol.errors import Unavailable

MOST = 64
"""Readers at once, in a process."""
SECONDS = 600.0
"""For which a reader has its place."""
_SILENCE = 15.0
"""Seconds after which a comment keeps the connection open."""
_COMMENT = b": nothing new\n\n"

Going = Callable[[], bool]
Bodies = Callable[[Going], AsyncGenerator[bytes]]
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
            async with aclosing(self._bodies(going)) as bodies:
                async for body in _kept_open(bodies):
                    await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def _kept_open(bodies: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield _COMMENT
    sent = time.monotonic()
    async for body in bodies:
        if body or time.monotonic() > sent + _SILENCE:
            yield body or _COMMENT
            sent = time.monotonic()
