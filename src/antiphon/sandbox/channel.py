"""What server and agent say to each other: requests, answers, and which programs have ended."""

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any, Self

import msgspec
from msgspec import Struct

from antiphon.sandbox.base import SandboxEnded, SandboxError

_LARGEST = 32 << 20
"""Bytes of a message from inside."""

_MOST_PROGRAMS = 10_000
"""That it may say it has started, in all its time."""


class _Message(Struct, frozen=True):
    """From inside, where anybody may write anything."""

    id: int | None = None
    result: Any = None
    error: str | None = None
    started: int | None = None
    ended: int | None = None
    code: int = 0


class Gone(Exception):
    """Nothing more will come; the message says why if that is known."""


class Channel:
    """To the agent of one sandbox."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._last = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._programs: dict[int, asyncio.Future[int]] = {}
        self._why: str | None = None

    @classmethod
    async def open(cls, ours: socket.socket) -> Self:
        return cls(*await asyncio.open_connection(sock=ours))

    async def receive_up(self) -> None:
        """Wait until the agent runs. Raises Gone."""
        await self._receive()

    async def begin(self, request: dict[str, Any]) -> None:
        """Have it become what a sandbox is. Raises Gone."""
        self._send(request)
        await self._receive()

    async def serve(self) -> None:
        """Take what comes, until nothing more does. Raises Gone."""
        while True:
            message = await self._receive()
            if message.started is not None:
                if len(self._programs) >= _MOST_PROGRAMS:
                    raise Gone("It started too many programs.")
                self._programs[message.started] = asyncio.get_running_loop().create_future()
            program = self._programs.get(message.ended) if message.ended is not None else None
            if program is not None and not program.done():
                program.set_result(message.code)
            elif message.id in self._waiting:
                waiting = self._waiting.pop(message.id)
                if not waiting.done():
                    _answer(waiting, message)

    async def _receive(self) -> _Message:
        try:
            (length,) = struct.unpack(">I", await self._reader.readexactly(4))
            if length > _LARGEST:
                raise Gone("It sent a message that is too large.")
            return msgspec.json.decode(await self._reader.readexactly(length), type=_Message)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Gone from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise Gone("It sent what is no message.") from error

    async def ask(self, do: str, **members: Any) -> Any:
        """What the agent answers to a request; when the caller is cancelled, it is asked to stop. Raises
        SandboxEnded; SandboxError with its words."""
        if self._why is not None:
            raise SandboxEnded(self._why)
        self._last += 1
        request = self._last
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[request] = waiting
        try:
            self._send({"do": do, "id": request, **members})
            return await waiting
        except asyncio.CancelledError:
            self.post("stop", request=request)
            raise
        finally:
            self._waiting.pop(request, None)

    def post(self, do: str, **members: Any) -> None:
        """A request without an answer."""
        if self._why is None:
            self._send({"do": do, "id": 0, **members})

    async def ended(self, program: int) -> int:
        """Wait for the end of a program that was started. Raises SandboxEnded."""
        if program not in self._programs:
            raise SandboxEnded("It does not know its programs.")
        return await asyncio.shield(self._programs[program])

    def _send(self, message: dict[str, Any]) -> None:
        data = msgspec.json.encode(message)
        with suppress(OSError, RuntimeError):
            self._writer.write(struct.pack(">I", len(data)) + data)

    def close(self, why: str) -> None:
        """Everybody who waits is given the reason, the first that there was."""
        self._why = self._why or why
        why = self._why
        self._writer.close()
        for waiting in [*self._waiting.values(), *self._programs.values()]:
            if not waiting.done():
                waiting.set_exception(SandboxEnded(why))
                # Not everybody who started a program waits for its end.
                waiting.exception()


def _answer(waiting: asyncio.Future[Any], message: _Message) -> None:
    if message.error is None:
        waiting.set_result(message.result)
    else:
        waiting.set_exception(SandboxError(f"The sandbox cannot do that: {message.error}."))
