"""A log, read as server-sent events.

Frames as on the real API (behaviours.md section 1): LF line ends, one line of data, each event whole in
one write, no `[DONE]`. Several events that arrive together leave together.
"""

import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from random import getrandbits

from starlette.types import Receive, Scope, Send

from antiphon.api.disconnect import connected
from antiphon.api.faults import unforeseen
from antiphon.api.keep_alive import KeepAlive
from antiphon.protocol import events
from antiphon.protocol.errors import ApiError
from antiphon.protocol.events import Event, event_type
from antiphon.protocol.wire import encode

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]

Frame = Callable[[Event], bytes]


class _Heads(dict[type[Event], bytes]):
    """What stands before the data, for each kind of event."""

    def __missing__(self, kind: type[Event]) -> bytes:
        head = self[kind] = f"event: {event_type(kind)}\ndata: ".encode()
        return head


_heads = _Heads()


def frame(event: Event) -> bytes:
    """An event, as it goes over the wire."""
    return b"%b%b\n\n" % (_heads[type(event)], encode(event))


def obfuscated_frame(event: Event) -> bytes:
    """The same; a delta is followed by random characters that hide its length from an eavesdropper."""
    if not event.obfuscated:
        return frame(event)
    padding = _padding(len(encode(event.delta)) - 2)  # type: ignore[attr-defined]
    return b'%b%b,"obfuscation":"%b"}\n\n' % (_heads[type(event)], encode(event)[:-1], padding)


_BLOCK = 16
_OFFSETS = 12
_POOL = secrets.token_urlsafe(3 << _OFFSETS).encode()
"""Random characters to cut paddings from, four times as many as there are places to begin at."""


def _padding(size: int) -> bytes:
    """As many characters as are missing to a power of two, at least a block: lengths that differ within
    a token's usual range look alike. Which characters they are matters to nobody: the wire is encrypted."""
    missing = (1 << (size - 1).bit_length() if size > _BLOCK else _BLOCK) - size
    start = getrandbits(_OFFSETS)
    padding = _POOL[start : start + missing]
    return padding if len(padding) == missing else (_POOL * (missing // len(_POOL) + 1))[:missing]


Batches = AsyncGenerator[Sequence[Event], None]


class EventStream:
    """An ASGI response that tells a log. The first batch is awaited before the answer begins, so that
    what is refused before it is told as an HTTP error. `pulse` gives what is told after `seconds` of
    silence."""

    def __init__(
        self, batches: Batches, frame: Frame, pulse: Callable[[], Sequence[Event]], seconds: float
    ) -> None:
        self._batches = batches
        self._frame = frame
        self._pulse = pulse
        self._seconds = seconds
        self._next = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with connected(receive), aclosing(self._batches) as batches:
            told = await anext(batches)
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await self._send(send, told)
            async with KeepAlive(self._seconds, self._pulse, partial(self._send, send)) as pulse:
                try:
                    async for told in batches:
                        await self._send(send, told)
                        pulse.sent()
                except Exception as error:  # noqa: BLE001 (logged there)
                    await self._send(send, [_crash(self._next, unforeseen(error, "stream failed"))])
        await send({"type": "http.response.body", "body": b""})

    async def _send(self, send: Send, told: Sequence[Event]) -> None:
        if not told:
            return
        self._next = told[-1].sequence_number + 1
        body = b"".join(map(self._frame, told))
        await send({"type": "http.response.body", "body": body, "more_body": True})


def _crash(sequence_number: int, fault: ApiError) -> Event:
    """What a client is told when we break in mid-stream: an end that no SDK takes for success."""
    code, message = fault.code or "server_error", fault.message
    detail = events.ErrorDetail(type=fault.type, code=code, message=message, param=None)
    return events.Error(sequence_number=sequence_number, error=detail, code=code, message=message, param=None)
