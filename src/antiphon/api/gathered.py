"""What an answer writes in one turn of the event loop leaves together."""

import asyncio
from collections.abc import Iterable
from typing import Any


class Gathered:
    """A transport that writes at the end of the turn. When its buffer is full is for the transport to say:
    it then signals the protocol, which makes `await send(…)` wait."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self.is_closing = transport.is_closing  # asked for each answer: not by way of `__getattr__`
        self._loop = loop
        self._held: list[bytes] = []
        self._ended = False
        """The last words are written: what an application still has to say is dropped."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        self.hold(data)

    def hold(self, *pieces: bytes) -> None:
        """Write what is of several pieces, which need not be put together before all are."""
        if self._ended:
            return
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held += pieces

    def write_at_once(self, data: bytes) -> None:
        """For what nothing follows in this turn: the loop need not come round again to write it."""
        if self._held or self._ended:
            self.write(data)
        elif not self.is_closing():
            self._transport.write(data)

    def writelines(self, pieces: Iterable[bytes]) -> None:
        """The end of an answer leaves at once, with what waits."""
        if not self._ended:
            self._held += pieces
            self._flush()

    def write_eof(self) -> None:
        self._flush()
        self._ended = True
        self._transport.write_eof()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        held, self._held = self._held, []
        if held and not self.is_closing():  # else the client has gone in this turn
            self._transport.write(b"".join(held))
