"""A log, read as server-sent events.

Frames as on the real API (behaviours.md section 1): LF line ends, one line of data, each event whole in
one write, no `[DONE]`. Several events that arrive together leave together.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from starlette.types import Message, Receive, Scope, Send

from antiphon.api import run_frames
from antiphon.api.cycle import POUR
from antiphon.api.disconnect import connected
from antiphon.api.faults import STOPPING, unforeseen
from antiphon.api.padding import padding_for
from antiphon.api.run_frames import HEADS
from antiphon.engine.emission import AtOnce, Emit
from antiphon.protocol import events
from antiphon.protocol.delta_runs import DeltaRun, Emitted
from antiphon.protocol.errors import ApiError, Unavailable
from antiphon.protocol.events import Event
from antiphon.protocol.wire import encode

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]

_END = {"type": "http.response.body", "body": b""}
_PARTING_SECONDS = 0.5
"""How long a client that reads slowly is waited for when its stream breaks off."""

Frames = Callable[[Sequence[Emitted]], bytes]
"""How a batch of events goes over the wire."""


def frame(event: Event) -> bytes:
    """An event, as it goes over the wire."""
    return b"%b%b\n\n" % (HEADS[type(event)], encode(event))


def plain(emitted: Sequence[Emitted]) -> bytes:
    """A batch of events."""
    pieces: list[bytes] = []
    for each in emitted:
        pieces += run_frames.plain(each) if isinstance(each, DeltaRun) else (frame(each),)
    return b"".join(pieces)


def obfuscated(emitted: Sequence[Emitted]) -> bytes:
    """The same; a delta is followed by random characters that hide its length from an eavesdropper."""
    pieces: list[bytes] = []
    for event in emitted:
        if isinstance(event, DeltaRun):
            pieces += run_frames.obfuscated(event)
            continue
        data = encode(event)
        if event.obfuscated:
            padding = padding_for(len(encode(event.delta)) - 2)  # type: ignore[attr-defined]
            pieces += (HEADS[type(event)], data[:-1], b',"obfuscation":"', padding, b'"}\n\n')
        else:
            pieces += (HEADS[type(event)], data, b"\n\n")
    return b"".join(pieces)


Headers = list[tuple[bytes, bytes]]
Begin = Callable[[Callable[[], Headers]], None]
"""Takes what gives more headers when the first events are there."""
Execute = Callable[[Emit, AtOnce, Begin], Awaitable[None]]
"""Hands events over as they come, and returns when the last of them was taken."""


class EventStream:
    """An ASGI response that sends the events of what `execute` makes. The answer begins with the first of
    them: what is refused before it becomes an HTTP error."""

    def __init__(self, execute: Execute, frames: Frames) -> None:
        self._execute = execute
        self._frames = frames
        self._more: Callable[[], Headers] = list
        self._pour: Callable[[bytes], bool] | None = None
        """How the server takes what need not wait."""
        self._last: Emitted | None = None
        """What was sent last."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with connected(scope):
            try:
                await self._execute(partial(self._emit, send), self._emit_at_once, self._begin)
            except asyncio.CancelledError:
                await self._break_off(send)
                raise
            except Exception as error:
                if self._last is None:
                    raise
                await self._emit(send, [_crash(self._last, unforeseen(error, "stream failed"))])
        await send(_END)

    async def _break_off(self, send: Send) -> None:
        """The server stops, or the client is gone. Who still reads gets an end that is no success."""
        if self._last is not None:
            with suppress(TimeoutError, OSError):
                async with asyncio.timeout(_PARTING_SECONDS):
                    await self._emit(send, [_crash(self._last, Unavailable(STOPPING, retry_after=1))])
                    await send(_END)

    def _begin(self, more: Callable[[], Headers]) -> None:
        self._more = more

    async def _emit(self, send: Send, events: Sequence[Emitted]) -> None:
        if self._last is None:
            headers = [*HEADERS, *self._more()]
            begin: Message = {"type": "http.response.start", "status": 200, "headers": headers}
            await send(begin)
            self._pour = begin.get(POUR)
        self._last = events[-1]
        await send({"type": "http.response.body", "body": self._frames(events), "more_body": True})

    def _emit_at_once(self, events: Sequence[Emitted]) -> bool:
        """See `AtOnce`."""
        if self._pour is None or not self._pour(self._frames(events)):
            return False
        self._last = events[-1]
        return True


def _crash(last: Emitted, fault: ApiError) -> Event:
    """What a client gets when we break in mid-stream: an end that no SDK takes for success. `last`: what came
    before it."""
    number = last.next_number if isinstance(last, DeltaRun) else last.sequence_number + 1
    code, message = fault.code or "server_error", fault.message
    detail = events.ErrorDetail(type=fault.type, code=code, message=message, param=None)
    return events.Error(sequence_number=number, error=detail, code=code, message=message, param=None)
