"""Answers of other servers that are handed on as they come."""

import asyncio
from contextlib import AbstractAsyncContextManager, aclosing, suppress

from starlette.types import Message, Receive, Scope, Send

from antiphon.api import admission
from antiphon.api.admission import Watch
from antiphon.api.disconnect import connected
from antiphon.api.faults import STOPPING
from antiphon.model.passthrough import Answer
from antiphon.protocol.errors import ApiError, Unavailable
from antiphon.protocol.wire import encode

_PARTING_SECONDS = 0.5
"""How long a client that reads slowly is waited for when its stream breaks off."""
_STREAM = b"text/event-stream"
_END = {"type": "http.response.body", "body": b""}


class Handed:
    """An ASGI response that hands an answer on as it comes. What goes wrong before its first byte becomes an
    HTTP error; what breaks off later is cut off here too, and a stream says why where that can be said."""

    def __init__(self, answered: AbstractAsyncContextManager[Answer]) -> None:
        self._answered = answered
        self._tail = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        watch = admission.watch(scope)
        with connected(scope):
            async with self._answered as answer:
                await send(
                    {"type": "http.response.start", "status": answer.status, "headers": answer.headers}
                )
                try:
                    await self._hand_on(answer, send, watch)
                except asyncio.CancelledError:
                    await self._break_off(answer, send)
                    raise
                except ApiError as fault:
                    if not self._is_between_events(answer):
                        raise
                    await send(_event(fault))
                finally:
                    if watch is not None:
                        watch.settle(answer.status)
        await send(_END)

    async def _break_off(self, answer: Answer, send: Send) -> None:
        """The server stops, or the client is gone."""
        if self._is_between_events(answer):
            with suppress(TimeoutError, OSError):
                async with asyncio.timeout(_PARTING_SECONDS):
                    await send(_event(Unavailable(STOPPING, retry_after=1)))
                    await send(_END)

    async def _hand_on(self, answer: Answer, send: Send, watch: Watch | None) -> None:
        async with aclosing(answer.pieces()) as pieces:
            async for piece in pieces:
                self._tail = (self._tail + piece[-3:])[-3:]
                if watch is not None:
                    watch.see(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})

    def _is_between_events(self, answer: Answer) -> bool:
        streams = any(name == b"content-type" and value.startswith(_STREAM) for name, value in answer.headers)
        return streams and self._tail.endswith((b"\n\n", b"\n\r\n"))


def _event(fault: ApiError) -> Message:
    """What SDKs take for an error in the middle of a stream."""
    body = b"data: %b\n\n" % encode({"error": fault.body()})
    return {"type": "http.response.body", "body": body, "more_body": True}
