"""The log of a background run, read from where it is kept: while it grows, and after its end.

Every reader gets the bytes that were written down, whichever process wrote them, without what he did not ask
for. What waits for more sends a comment now and then, which is no event: the log is the run's own.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Sequence

from starlette.types import Receive, Scope, Send

from antiphon.api.disconnect import connected
from antiphon.api.protocol import STOPPING
from antiphon.api.sse import HEADERS
from antiphon.protocol.projection import Projection
from antiphon.store.follower import Follower
from antiphon.store.runs import Runs

_LARGE = 1 << 20
"""Bytes of events that are not looked through while others wait."""
_TYPE = len(b'{"type":"')
_COMMENT = b": the response is in progress\n\n"


class Replay:
    """An ASGI response that sends a run's log behind the event number `after`, as `shows` shows it. `seconds`
    of silence are broken with a comment."""

    def __init__(
        self,
        runs: Runs,
        project: str,
        response_id: str,
        after: int,
        seconds: float,
        shows: Projection,
        headers: Sequence[tuple[bytes, bytes]] = (),
        begins: Sequence[bytes] = (),
    ) -> None:
        """`begins`: its first events, where they are known."""
        self._shows = shows
        self._runs = runs
        self._project = project
        self._id = response_id
        self._after = after
        self._seconds = seconds
        self._headers = [*HEADERS, *headers]
        self._begins = begins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        followed = self._runs.followed(self._project, self._id, self._after, self._begins)
        with connected(scope), followed as follower:
            await send({"type": "http.response.start", "status": 200, "headers": self._headers})
            async for body in self._bodies(scope, follower):
                await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _bodies(self, scope: Scope, follower: Follower) -> AsyncIterator[bytes]:
        """A server that stops ends the stream: its reader comes again, to whoever does the run then."""
        sent = time.monotonic()
        while (found := await follower.more()) is not None:
            if found.events:
                yield await self._shown(found.events)
                sent = time.monotonic()
            elif found.ended or STOPPING in scope:
                return
            elif time.monotonic() > sent + self._seconds:
                yield _COMMENT
                sent = time.monotonic()
            else:
                await follower.wait()

    async def _shown(self, events: Sequence[bytes]) -> bytes:
        """Frames of events; nobody else waits for those of large ones."""
        if sum(map(len, events)) > _LARGE:
            return await asyncio.to_thread(self._frames, events)
        return self._frames(events)

    def _frames(self, events: Sequence[bytes]) -> bytes:
        return _frames(self._shows.stored_events(events))


def _frames(events: Iterable[bytes]) -> bytes:
    """Frames as `sse.frame` makes them."""
    return b"".join(map(_frame, events))


def _frame(event: bytes) -> bytes:
    """That of an event, whose JSON begins with its type, or those of several of one type, in lines."""
    head = b"event: %b\ndata: " % event[_TYPE : event.index(b'"', _TYPE)]
    return head + event.replace(b"\n", b"\n\n" + head) + b"\n\n"
