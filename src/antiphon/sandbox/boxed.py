"""One sandbox of bubblewrap, while it runs."""

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from antiphon.sandbox.arguments import ENVIRONMENT, Box
from antiphon.sandbox.base import (
    DATA,
    SKILLS,
    CommandResult,
    Entry,
    Execution,
    Limits,
    Sandbox,
    SandboxEnded,
    SandboxError,
)
from antiphon.sandbox.channel import Channel, Gone
from antiphon.sandbox.egress import Egress
from antiphon.sandbox.files import Folder, Incoming, parts_below
from antiphon.sandbox.inside import Inside, Process
from antiphon.sandbox.kernel import Kernel
from antiphon.sandbox.threads import in_thread
from antiphon.sandbox.watch import Watch

T = TypeVar("T")

PIECE = 1 << 18
"""Bytes of a file that are read at once."""
MOST_FILES = 10_000
"""That are listed."""
MOST_CHARACTERS = 1 << 20
"""That are kept of a stream, whoever asks for more."""
_ANSWER_SECONDS = 30.0
"""For the end of a command whose time is over, and for what it has printed, on a machine that is busy."""
_KILLED = 128 + 9
_ENDED_ITSELF = CommandResult(
    stdout="", stderr="The command ended all processes that it could, its own too.", exit_code=_KILLED
)


class Parts(Struct, frozen=True, kw_only=True):
    """What a sandbox is made of when it has started."""

    box: Box
    limits: Limits
    environment: Path | None
    channel: Channel
    watch: Watch
    owner: int | None
    """Of the files in it; None: who runs this process."""
    memory_kills: Callable[[], int]
    release: Callable[[], Awaitable[None]]
    """End its processes, and remove what is left of it."""


def _read(answer: Any, kind: type[T]) -> T:
    """What comes from inside. Raises SandboxError for something else."""
    try:
        return msgspec.convert(answer, kind)
    except msgspec.ValidationError as error:
        raise SandboxError("The sandbox answers with something else.") from error


def _close(opened: tuple[int, int]) -> None:
    os.close(opened[0])


class _Program(Process):
    def __init__(self, channel: Channel, pid: int) -> None:
        self._channel = channel
        self._pid = pid

    @property
    def pid(self) -> int:
        return self._pid

    async def signal(self, number: int) -> None:
        self._channel.post("signal", pid=self._pid, signal=number, group=False)

    async def kill(self) -> None:
        self._channel.post("signal", pid=self._pid, signal=9, group=True)
        await self.wait()

    async def wait(self) -> int:
        return await self._channel.ended(self._pid)


class BoxedSandbox(Sandbox, Inside):
    """Made by the driver, which calls `begin` when everything is in its place."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._channel = parts.channel
        self._watch = parts.watch
        self._data = Folder(parts.box.data, parts.owner)
        self._skills = Folder(parts.box.skills, mode=0o755)
        self._sockets = os.open(parts.box.sockets, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._kernel = Kernel(self)
        self._egress: Egress | None = None
        self._ended: str | None = None
        self._gone = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, ended: Callable[[], object]) -> None:
        """Serve what comes from inside, and look at what is used. `ended` is called when it is gone."""
        self._when_ended = ended
        self._tasks = [asyncio.create_task(self._serve()), asyncio.create_task(self._limit())]

    def open_way(self, egress: Egress) -> None:
        """It ends with the sandbox."""
        self._egress = egress

    @property
    def ended(self) -> str | None:
        return self._ended

    @property
    def python(self) -> str | None:
        return f"{ENVIRONMENT}/bin/python" if self._parts.environment else None

    @property
    def sockets(self) -> Path:
        return Path(f"/proc/self/fd/{self._sockets}")

    def memory_kills(self) -> int:
        return self._parts.memory_kills()

    async def execute(self, code: str, seconds: float) -> Execution:
        self._check()
        with self._watch:
            return await self._kernel.execute(code, seconds)

    async def run(
        self, commands: Sequence[str], seconds: float, most_characters: int
    ) -> Sequence[CommandResult]:
        with self._watch:
            return [await self._run(each, seconds, most_characters) for each in commands]

    async def _run(self, command: str, seconds: float, most_characters: int) -> CommandResult:
        kills = self.memory_kills()
        most = max(0, min(most_characters, MOST_CHARACTERS))
        answer = await self._answered(seconds, command=command, most=most)
        result = _read(answer, CommandResult) if answer else _ENDED_ITSELF
        if self.memory_kills() > kills:
            limit = self._parts.limits.memory_bytes >> 20
            words = f"Killed: its processes needed more than {limit} MiB of memory."
            result = msgspec.structs.replace(result, stderr=f"{result.stderr}{words}\n")
        return result

    async def _answered(self, seconds: float, **members: Any) -> Any:
        """What the agent says of a command. It watches the time; one that does not is none any more."""
        try:
            async with asyncio.timeout(seconds + _ANSWER_SECONDS):
                return await self._channel.ask("run", seconds=seconds, **members)
        except TimeoutError:
            self._finish("It did not answer.")
            raise SandboxEnded("It did not answer.") from None

    async def spawn(self, argv: Sequence[str], environment: Mapping[str, str]) -> Process:
        pid = await self._channel.ask("spawn", argv=argv, environment=environment, folder=DATA)
        return _Program(self._channel, _read(pid, int))

    async def write(self, path: str, content: AsyncIterable[bytes]) -> None:
        self._check()
        folder, parts = self._place(path)
        incoming = await in_thread(Incoming, self._parts.box.incoming, drop=Incoming.close)
        with incoming:
            async for piece in content:
                if not self._watch.add(len(piece)):
                    limit = self._parts.limits.disk_bytes >> 20
                    raise SandboxError(f"There is no room for {path}: the files may come to {limit} MiB.")
                await in_thread(incoming.write, piece)
            await in_thread(folder.place, incoming, parts)

    def _place(self, path: str) -> tuple[Folder, Sequence[str]]:
        for top, folder in ((DATA, self._data), (SKILLS, self._skills)):
            parts = parts_below(top, path)
            if parts is not None:
                return folder, parts
        raise SandboxError(f"{path!r} is not the path of a file below {DATA} or {SKILLS}.")

    async def remove(self, path: str) -> None:
        self._check()
        folder, parts = self._place(path)
        await in_thread(folder.remove, parts)

    async def files(self) -> Sequence[Entry]:
        self._check()
        return await in_thread(self._files)

    def _files(self) -> Sequence[Entry]:
        return [
            Entry(
                path="/".join([DATA, *found.parts]),
                size=found.status.st_size,
                modified_ns=found.status.st_mtime_ns,
            )
            for found in self._data.plain(MOST_FILES)
        ]

    async def read(self, path: str) -> AsyncIterator[bytes]:
        self._check()
        parts = parts_below(DATA, path)
        if parts is None:
            raise FileNotFoundError(f"{path!r} is not the path of a file below {DATA}.")
        descriptor, left = await in_thread(self._data.open, parts, drop=_close)
        try:
            while left and (piece := await in_thread(os.read, descriptor, min(left, PIECE))):
                left -= len(piece)
                yield piece
        finally:
            os.close(descriptor)

    async def close(self) -> None:
        await self.end("It was closed.")

    async def end(self, why: str) -> None:
        self._finish(why)
        await self._gone.wait()

    def _check(self) -> None:
        if self._ended is not None:
            raise SandboxEnded(self._ended)

    async def _serve(self) -> None:
        try:
            await self._channel.serve()
        except Gone as gone:
            self._finish(str(gone) or self._why_gone())

    def _why_gone(self) -> str:
        if self.memory_kills():
            return f"Its processes needed more than {self._parts.limits.memory_bytes >> 20} MiB of memory."
        return "Its processes were ended from outside."

    async def _limit(self) -> None:
        self._finish(await self._watch.until_too_much())

    def _finish(self, why: str) -> None:
        if self._ended is None:
            self._ended = why
            self._channel.close(why)
            self._tasks.append(asyncio.create_task(self._end_all()))

    async def _end_all(self) -> None:
        """Whatever fails on the way, all the rest is done."""
        async with AsyncExitStack() as undo:
            undo.callback(self._gone.set)
            undo.callback(self._when_ended)
            for close in (self._data.close, self._skills.close, partial(os.close, self._sockets)):
                undo.callback(close)
            undo.push_async_callback(self._parts.release)
            if self._egress is not None:
                undo.push_async_callback(self._egress.close)
            undo.push_async_callback(self._close_kernel)
            for task in self._tasks[:2]:
                task.cancel()
            await asyncio.wait(self._tasks[:2])

    async def _close_kernel(self) -> None:
        with suppress(SandboxError):
            await self._kernel.close()
