"""One process of a kernel, and the sockets between it and us.

The process is not trusted. Its sockets are opened as the files that they are, no link is followed, and
nothing is connected a second time; what it sends is bounded, and is read only while something is awaited.
"""

import asyncio
import contextlib
import json
import os
import secrets
import stat
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from antiphon.sandbox.base import SandboxEnded, SandboxError, SandboxUnavailable
from antiphon.sandbox.inside import SOCKETS, Inside, Process
from antiphon.sandbox.jupyter import Message, Signer, Status, execute_request
from antiphon.sandbox.outputs import Gathered
from antiphon.sandbox.programs import run_program

if TYPE_CHECKING:
    from zmq.asyncio import Socket

START_SECONDS: Final = 60.0
MESSAGE_BYTES: Final = 8 << 20
"""A peer that sends a larger message is cut off."""
_LARGE: Final = 256 << 10
_HELD: Final = 2
"""Messages that wait in memory, for each socket."""
_LOOK_SECONDS: Final = 0.01
_ASK_SECONDS: Final = 0.3
_ANSWER_SECONDS: Final = 5.0
"""Also for what was printed and comes behind the answer: a busy machine is slow to say it."""
_SETTLE_SECONDS: Final = 1.0
_FREE_BYTES: Final = 4 << 20
_FREE_MESSAGES: Final = 2000
_PAUSE_SECONDS: Final = 0.02
"""Behind each message of an execution that has sent more than that."""
_SHELL, _IOPUB, _CONTROL, _LAST = 1, 2, 4, 5
"""The kernel's sockets, by the numbers that they are bound under; when the last is there, all are."""


class KernelProcess:
    """One that answers. Made by `start`."""

    def __init__(self, process: Process, signer: Signer) -> None:
        self._process = process
        self._signer = signer
        self._sockets: dict[int, Socket] = {}
        self.exited = asyncio.ensure_future(process.wait())
        """Its exit code. May have raised SandboxEnded."""
        self.exited.add_done_callback(_seen)

    @classmethod
    async def start(cls, inside: Inside) -> Self:
        """Raises SandboxError, SandboxEnded."""
        if inside.python is None:
            raise SandboxUnavailable(
                "The Python of the sandbox is not set up: `antiphon sandbox setup` makes it."
            )
        signer, name = Signer(), f"k{secrets.token_hex(4)}"
        given = json.dumps({"key": signer.key, "prefix": f"{SOCKETS}/{name}"})
        environment = {"ANTIPHON_KERNEL": given}
        process = await run_program(inside, inside.python, "interpreter.py", environment=environment)
        kernel = cls(process, signer)
        try:
            await kernel._within(START_SECONDS, kernel._connect(inside.sockets / name))
        except BaseException:
            await kernel.end()
            raise
        return kernel

    async def is_well(self) -> bool:
        """Whether what it says still comes through. What nobody has awaited so far is forgotten."""
        await _drain(self._sockets[_SHELL])
        request_id = await self._send(_SHELL, "kernel_info_request", {})
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                while (await self._next(_IOPUB)).parent.msg_id != request_id:
                    pass
                while (await self._next(_SHELL)).parent.msg_id != request_id:
                    pass
        except TimeoutError:
            return False
        return True

    async def request(self, code: str) -> str:
        """Have code run; gives the id of the request. What nobody has awaited so far is forgotten."""
        for number in (_SHELL, _IOPUB):
            await _drain(self._sockets[number])
        return await self._send(_SHELL, "execute_request", execute_request(code))

    async def finished(self, request_id: str, gathered: Gathered) -> bool:
        """Waits for the end of an execution, and gathers what it says; whether that is all of it."""
        listening = asyncio.ensure_future(self._listen(request_id, gathered))
        try:
            async for message in self._received(_SHELL):
                if message.parent.msg_id == request_id and message.header.msg_type == "execute_reply":
                    break
            await asyncio.wait({listening}, timeout=_ANSWER_SECONDS)
            return listening.done()
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await listening

    async def interrupt(self) -> None:
        """As Ctrl-C does."""
        await self._send(_CONTROL, "interrupt_request", {})

    async def end(self) -> None:
        """End the process and all that it has started."""
        for socket in self._sockets.values():
            socket.close(linger=0)
        self._sockets.clear()
        with contextlib.suppress(SandboxEnded):
            await self._process.kill()
        await asyncio.wait({self.exited}, timeout=_SETTLE_SECONDS)
        self.exited.cancel()
        with contextlib.suppress(asyncio.CancelledError, SandboxEnded):
            await self.exited

    async def _within(self, seconds: float, work: Coroutine[None, None, None]) -> None:
        """Waits for what cannot end when the process does. Raises SandboxError, SandboxEnded."""
        task = asyncio.ensure_future(work)
        try:
            done, _ = await asyncio.wait({task, self.exited}, timeout=seconds, return_when="FIRST_COMPLETED")
            if task in done:
                return task.result()
            if self.exited in done:
                raise SandboxError(
                    f"The Python of the sandbox does not start: exit code {self.exited.result()}."
                )
            raise SandboxError(f"The Python of the sandbox did not start within {seconds:g} seconds.")
        finally:
            task.cancel()

    async def _connect(self, prefix: Path) -> None:
        await _until_there(Path(f"{prefix}-{_LAST}"))
        with contextlib.ExitStack() as opened:
            for number in (_SHELL, _IOPUB, _CONTROL):
                self._sockets[number] = _connected(number, Path(f"{prefix}-{number}"), opened)
            heard = asyncio.ensure_future(anext(self._received(_IOPUB)))
            try:
                while not heard.done():
                    await self._send(_SHELL, "kernel_info_request", {})
                    await asyncio.wait({heard}, timeout=_ASK_SECONDS)
            finally:
                heard.cancel()
            await anext(self._received(_SHELL))

    async def _send(self, number: int, kind: str, content: dict[str, object]) -> str:
        request_id, frames = self._signer.request(kind, content)
        await self._sockets[number].send_multipart(frames)
        return request_id

    async def _listen(self, request_id: str, gathered: Gathered) -> None:
        async for message in self._received(_IOPUB):
            if message.parent.msg_id == request_id:
                gathered.add(message)
                status = message.content_as(Status) if message.header.msg_type == "status" else None
                if status is not None and status.execution_state == "idle":
                    return

    async def _received(self, number: int) -> AsyncIterator[Message]:
        """Messages, the more slowly the more there were: a flood costs it time, and not us."""
        socket, count, size = self._sockets[number], 0, 0
        while True:
            frames = await socket.recv_multipart()
            count, size = count + 1, size + sum(map(len, frames))
            message = await self._read(frames)
            if message is not None:
                yield message
            flooded = count > _FREE_MESSAGES or size > _FREE_BYTES
            await asyncio.sleep(_PAUSE_SECONDS if flooded else 0)

    async def _read(self, frames: Sequence[bytes]) -> Message | None:
        """Nobody else waits for the signature of a large one."""
        if sum(map(len, frames)) < _LARGE:
            return self._signer.read(frames)
        return await asyncio.to_thread(self._signer.read, frames)

    async def _next(self, number: int) -> Message:
        """The next message, as fast as they come."""
        while True:
            message = await self._read(await self._sockets[number].recv_multipart())
            if message is not None:
                return message
            await asyncio.sleep(0)


def _seen(exited: asyncio.Task[int]) -> None:
    """Nobody may be left who waits for it when the sandbox ends."""
    if not exited.cancelled():
        exited.exception()


async def _drain(socket: "Socket") -> None:
    """Forget what has come."""
    import zmq

    until = time.monotonic() + _SETTLE_SECONDS
    with contextlib.suppress(zmq.Again):
        while time.monotonic() < until:
            await socket.recv_multipart(zmq.NOBLOCK)
            await asyncio.sleep(0)


async def _until_there(path: Path) -> None:
    for _ in range(int(START_SECONDS / _LOOK_SECONDS)):
        if _is_there(path):
            return
        await asyncio.sleep(_LOOK_SECONDS)


def _is_there(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def _connected(number: int, path: Path, opened: contextlib.ExitStack) -> "Socket":
    """A socket that is connected to the one in a folder of the sandbox. It is opened first and then reached
    as what was opened: between a look and a connection there would be time to put a link in its place."""
    import zmq
    from zmq.asyncio import Context

    try:
        descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise SandboxError("The Python of the sandbox hides its sockets.") from error
    opened.callback(os.close, descriptor)
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        raise SandboxError("The Python of the sandbox has no socket where one should be.")
    socket = Context.instance().socket(zmq.SUB if number == _IOPUB else zmq.DEALER)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, -1)
    socket.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES)
    socket.setsockopt(zmq.RCVHWM, _HELD)
    if number == _IOPUB:
        socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(f"ipc:///proc/self/fd/{descriptor}")
    return socket
