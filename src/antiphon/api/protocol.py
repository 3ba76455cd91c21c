"""HTTP by uvicorn, with fewer system calls, and with word of the server's end.

uvicorn writes the head of an answer and its body apart, and so the end of a stream behind its last event.
Each write is a system call and a packet, which costs more than all that is in them: here what is written in
one turn of the event loop leaves together.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

STOPPING = "stopping"
"""The member of an answer's scope that says that the server stops."""


class HttpProtocol(HttpToolsProtocol):
    """A connection whose writes are gathered."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(_Gathered(transport, self.loop))  # type: ignore[arg-type]

    def shutdown(self) -> None:
        """The server stops when its answers have ended, so those that could go on for hours must know."""
        if self.cycle is not None:
            self.cycle.scope[STOPPING] = True  # type: ignore[literal-required]
        super().shutdown()


class _Gathered:
    """A transport that writes at the end of the turn. When its buffer is full is for the transport to say:
    it then signals the protocol, which makes `await send(…)` wait."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held:
            self._transport.write(b"".join(held))
