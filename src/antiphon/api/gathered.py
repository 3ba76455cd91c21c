"""What an answer writes in one turn of the event loop leaves together."""

import asyncio
from collections.abc import Iterable
from typing import Any


class Gathered:
    """A transport that writes at the end of the turn. When its buffer is full is for the transport to say:
    it then signals the protocol, which says so here, and makes `await send(…)` wait."""

    __slots__ = (
        "_ended",
        "_held",
        "_loop",
        "_room",
        "_transport",
        "is_closing",
        "read_paused",
        "write_paused",
    )

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.read_paused = False
        self.write_paused = False
        self._transport = transport
        self.is_closing = transport.is_closing  # asked for each answer: not by way of `__getattr__`
        self._loop = loop
        self._held: list[bytes] = []
        self._room: asyncio.Event | None = None
        """Of who waits until there is room: hardly any connection ever needs one."""
        self._ended = False
        """The last words are written: what an application still has to say is dropped."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    # ---- what is written ----

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

    # ---- who waits ----

    def pause_reading(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._room is not None:
            self._room.set()
            self._room = None

    async def drain(self) -> None:
        """Until there is room."""
        if self.write_paused:
            self._room = self._room or asyncio.Event()
            await self._room.wait()
