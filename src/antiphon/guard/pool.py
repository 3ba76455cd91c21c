"""Child processes for work that may crash, hang or grow on hostile input.

Compilers of grammars, validators of schemas and readers of documents are native code that was not written for
strangers: a text of 36 KB makes one of them overflow its stack, and with it the process. So they work in a
child that has bounds of time and memory, and whose end is an answer like any other.

Children start when there is work for them, serve one call after another, and end when nothing came for a
while. They are given none of our secrets.
"""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal, TypeGuard

import msgspec
from msgspec import Struct

from antiphon.guard.child import HEAD, Call, Counted, Result, framed
from antiphon.guard.turns import Turns

IDLE = 60.0
"""Seconds for which a child is kept that has nothing to do."""
_LARGEST = 256 * 2**20
"""Bytes of a result."""
_HELD = 2**16
"""Bytes of a result that is decoded at once; a larger one is in a thread."""
_WAITS = 3
"""How many times its processor time a call may last: a busy machine gives it less than all."""
_LARGE = 2**20
"""Bytes of an argument that is not packed."""
_PIECE = 2**18
"""Bytes that are written in one go."""
# All that a child is to know of our surroundings.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "TMPDIR", "LANG", "SYSTEMROOT", "LD_LIBRARY_PATH")


def _is_large(argument: object) -> TypeGuard[bytes]:
    return isinstance(argument, bytes) and len(argument) > _LARGE


class _Answer(Struct, frozen=True, array_like=True):
    """A `Result` whose value is not decoded yet."""

    value: msgspec.Raw = msgspec.Raw(b"\xc0")
    fault: str | None = None


class Overrun(Exception):
    """A call that was too much for its child: of time, of memory, or of the code that served it."""


class Busy(Overrun):
    """The machine was at fault, not the call: it could start no child, or gave it too little of its time."""


class Limits(Struct, frozen=True, kw_only=True):
    """What the children of a pool may take."""

    children: int = 2
    seconds: float = 2
    """Of processor time, for each call."""
    memory: int = 768 * 2**20
    """Bytes, for each child."""
    counted: Counted = "addresses"
    """What of a child's memory counts: engines of JavaScript reserve far more addresses than they use."""
    calls: int = 1000
    """After so many a child is replaced: what it leaked goes with it."""
    serves: Literal["anyone", "one owner"] = "anyone"
    """Whose calls a child takes one after another. One that runs code of strangers may have been taken over
    by what it served."""


def _decoded(data: bytes, kind: Any) -> Result:
    """The answer, with a value of this type. Raises ValueError for one that is not."""
    answer = msgspec.msgpack.decode(data, type=_Answer)
    if answer.fault is not None:
        return Result(fault=answer.fault)
    return Result(msgspec.msgpack.decode(answer.value, type=kind))


class Pool:
    """Calls functions in child processes."""

    def __init__(self, limits: Limits | None = None, idle: float = IDLE) -> None:
        self._limits = limits or Limits()
        self._idle_seconds = idle
        self._turns = Turns(self._limits.children)
        self._idle: list[_Child] = []
        self._end_idle: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def call(self, function: str, *arguments: object, owner: str = "", result: Any = Any) -> Any:
        """What the function (`module:name`) returns, made of what msgpack knows. `owner` is whose work it is:
        each has its share. `result` is the type of what it returns: with bounds for its lists, whoever has
        taken over a child makes us build no more than that. Raises Overrun, and of these Busy for what may do
        later; ValueError with the words of what the function raised, or for what is not of that type."""
        seconds = self._limits.seconds
        large = {place: each for place, each in enumerate(arguments) if _is_large(each)}
        small = [None if place in large else each for place, each in enumerate(arguments)]
        sizes = {place: len(each) for place, each in large.items()}
        call = [framed(Call(function, small, seconds, sizes)), *large.values()]
        async with self._turns.turn(owner):
            child = await self._child(owner)
            try:
                async with asyncio.timeout(seconds * _WAITS):
                    answer = await child.ask(call, result)
            except TimeoutError as fault:
                await child.kill()
                raise Busy(f"{function} was given too little time in {seconds * _WAITS:g} s") from fault
            except (EOFError, OSError) as fault:
                await child.kill()
                raise Overrun(f"{function} took more than {seconds:g} s, or too much memory") from fault
            except BaseException:
                await child.kill()
                raise
            await self._take_back(child)
        if answer.fault is not None:
            raise ValueError(answer.fault)
        return answer.value

    @property
    def children(self) -> int:
        """How many children wait for work."""
        return len(self._idle)

    async def close(self) -> None:
        """Ends the children that are idle; those that work end with their calls."""
        self._closed = True
        if self._end_idle is not None:
            self._end_idle.cancel()
        await self._end_all()
        await asyncio.gather(*self._ending)

    async def _child(self, owner: str) -> "_Child":
        """One that is idle and may serve this owner, or one in the place of an idle one, or another."""
        anyone = self._limits.serves == "anyone"
        found = next((each for each in reversed(self._idle) if anyone or each.owner == owner), None)
        if found is not None:
            self._idle.remove(found)
            return found
        if self._idle:
            await self._idle.pop(0).kill()
        return await self._started(owner)

    async def _started(self, owner: str) -> "_Child":
        try:
            return await _Child.start(self._limits, owner)
        except OSError as fault:
            raise Busy(f"No child process can be started: {fault.strerror}") from fault

    async def _take_back(self, child: "_Child") -> None:
        if self._closed or child.calls >= self._limits.calls:
            await child.kill()
            return
        self._idle.append(child)
        if self._end_idle is not None:
            self._end_idle.cancel()
        self._end_idle = asyncio.get_running_loop().call_later(self._idle_seconds, self._end_later)

    def _end_later(self) -> None:
        task = asyncio.ensure_future(self._end_all())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _end_all(self) -> None:
        children, self._idle = self._idle, []
        for child in children:
            await child.kill()


class _Child:
    def __init__(self, process: Process, owner: str) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.calls = 0
        self.owner = owner
        """Who was served first."""
        self._process = process
        self._stdin = process.stdin
        self._stdout = process.stdout

    @classmethod
    async def start(cls, limits: Limits, owner: str) -> "_Child":
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "antiphon.guard.child", str(limits.memory), limits.counted),
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
            env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
            start_new_session=True,  # Ctrl-C is for the parent
        )
        return cls(process, owner)

    async def ask(self, call: Sequence[bytes], kind: Any) -> Result:
        """What is sent lies in pieces, which are not copied whole."""
        self.calls += 1
        for part in call:
            view = memoryview(part)
            for begin in range(0, len(view), _PIECE):
                self._stdin.write(view[begin : begin + _PIECE])
                await self._stdin.drain()
        size = int.from_bytes(await self._stdout.readexactly(HEAD))
        if size > _LARGEST:
            raise EOFError("the result is too large")
        data = await self._stdout.readexactly(size)
        if size > _HELD:
            return await asyncio.to_thread(_decoded, data, kind)
        return _decoded(data, kind)

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()
        self._stdin.close()
        await self._process.wait()
