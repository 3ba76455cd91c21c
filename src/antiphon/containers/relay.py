"""Between the server processes of one data directory: who is asked to run something in a container whose
sandbox lives in another process has that one run it, so that the state of its Python goes on.

Each process listens on a socket of its own, in a folder that only their user may enter. One connection is one
call; whoever goes away ends it. A process that does not answer any more is none: its containers are free.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

import msgspec
import structlog
from msgspec import Struct

from antiphon.sandbox.base import (
    CommandResult,
    Execution,
    Logs,
    Picture,
    SandboxEnded,
    SandboxError,
    SandboxUnavailable,
)
from antiphon.tools.containers import (
    ContainerError,
    ContainerExpired,
    ContainerFile,
    NoSuchContainer,
    Ran,
)

log = structlog.get_logger()

T = TypeVar("T")

_HEAD = 4
"""Bytes of a length."""
_LARGEST = 256 * 2**20
_LONGEST_PATH = 100
"""Of a socket: systems know some 104 bytes."""
_FAULTS: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (
        *(NoSuchContainer, ContainerExpired, ContainerError),
        *(SandboxUnavailable, SandboxEnded, SandboxError),
    )
}


class Call(Struct, frozen=True, kw_only=True):
    """What is to run: code, or commands."""

    project: str
    container_id: str
    code: str = ""
    commands: list[str] | None = None
    seconds: float | None = None
    most_characters: int | None = None


class Fault(Struct, frozen=True):
    """Why nothing came of a call."""

    kind: str
    words: str


class _Output(Struct, frozen=True):
    """Logs, or a picture."""

    text: str | None = None
    media_type: str = ""
    data: bytes = b""


class Answer(Struct, frozen=True, kw_only=True):
    """What came of a call."""

    outputs: list[_Output] = []
    error: str | None = None
    files: list[ContainerFile] = []
    pictures: list[ContainerFile] = []
    results: list[CommandResult] = []
    fault: Fault | None = None

    @classmethod
    def of(cls, ran: Ran) -> "Answer":
        return cls(
            outputs=[_output(output) for output in ran.execution.outputs],
            error=ran.execution.error,
            files=list(ran.files),
            pictures=list(ran.pictures),
        )

    @property
    def ran(self) -> Ran:
        execution = Execution(outputs=[_shown(output) for output in self.outputs], error=self.error)
        return Ran(execution=execution, files=self.files, pictures=self.pictures)


Runs = Callable[[Call], Awaitable[Answer]]


class Relay:
    """Calls to other processes, and from them."""

    def __init__(self, folder: Path, home: str) -> None:
        """`home`: the name of this process."""
        self._folder = folder
        self._home = home

    @asynccontextmanager
    async def serving(self, runs: Runs) -> AsyncIterator[None]:
        """What other processes ask for is run, while the block does."""
        path = self._path(self._home)
        if len(os.fsencode(path)) > _LONGEST_PATH:
            log.warning(
                "no socket can have so long a path: other processes start a container anew", path=str(path)
            )
            yield
            return
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        await self._forget_the_dead()
        connections: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            connections.add(task)
            try:
                with suppress(asyncio.CancelledError):  # it is the end of the server: nobody awaits this
                    await _serve(runs, reader, writer)
            finally:
                connections.discard(task)

        server = await asyncio.start_unix_server(connected, path)
        try:
            yield
        finally:
            server.close()
            path.unlink(missing_ok=True)
            for task in connections:
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)

    async def ask(self, home: str, call: Call, seconds: float) -> Answer | None:
        """What comes of a call in another process. None: there is no such process any more. Raises what
        running it there raises."""
        try:
            reader, writer = await asyncio.open_unix_connection(self._path(home))
        except OSError:
            return None
        try:
            async with asyncio.timeout(seconds):
                await _send(writer, call)
                answer = await _receive(reader, Answer)
        except (OSError, EOFError, TimeoutError):
            raise SandboxEnded("The process of this server that has the container does not answer.") from None
        finally:
            writer.close()
        if answer.fault is not None:
            raise _FAULTS.get(answer.fault.kind, SandboxError)(answer.fault.words)
        return answer

    def _path(self, home: str) -> Path:
        return self._folder / home

    async def _forget_the_dead(self) -> None:
        """The sockets of processes that were killed."""
        for path in list(self._folder.iterdir()):
            try:
                _, writer = await asyncio.open_unix_connection(path)
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError as fault:  # it may live, and be busy
                log.warning("a socket cannot be reached", path=str(path), reason=str(fault))
            else:
                writer.close()


async def _serve(runs: Runs, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, EOFError, msgspec.DecodeError):
        try:
            call = await _receive(reader, Call)
            answer = await _unless_gone(asyncio.ensure_future(_answered(runs, call)), reader)
            if answer is not None:
                await _send(writer, answer)
        finally:
            writer.close()


async def _unless_gone(answer: "asyncio.Task[Answer]", reader: asyncio.StreamReader) -> Answer | None:
    """None: who asked went away, and what ran for him was ended."""
    gone = asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
        return answer.result() if answer.done() else None
    finally:
        for task in (answer, gone):
            task.cancel()
        await asyncio.wait({answer, gone})


async def _answered(runs: Runs, call: Call) -> Answer:
    try:
        return await runs(call)
    except (ContainerError, SandboxError) as error:
        kind = next(name for name, kind in _FAULTS.items() if isinstance(error, kind))
        return Answer(fault=Fault(kind, str(error)))
    except Exception:  # the top of a connection: the other process says so to its client
        log.exception("what another process asked for failed")
        return Answer(fault=Fault("SandboxError", "The server had an error."))


async def _send(writer: asyncio.StreamWriter, what: Call | Answer) -> None:
    data = msgspec.msgpack.encode(what)
    writer.write(len(data).to_bytes(_HEAD) + data)
    await writer.drain()


async def _receive(reader: asyncio.StreamReader, kind: type[T]) -> T:
    size = int.from_bytes(await reader.readexactly(_HEAD))
    if size > _LARGEST:
        raise EOFError
    return msgspec.msgpack.decode(await reader.readexactly(size), type=kind)


def _output(output: Logs | Picture) -> _Output:
    if isinstance(output, Logs):
        return _Output(text=output.text)
    return _Output(media_type=output.media_type, data=output.data)


def _shown(output: _Output) -> Logs | Picture:
    return Picture(output.media_type, output.data) if output.text is None else Logs(output.text)
