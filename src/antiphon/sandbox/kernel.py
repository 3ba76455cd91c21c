"""The Python of a sandbox: it keeps what it was given, from one execution to the next."""

import asyncio
import contextlib
import signal
from typing import Final

from antiphon.sandbox.base import Execution, Logs, SandboxEnded
from antiphon.sandbox.inside import Inside
from antiphon.sandbox.kernel_process import KernelProcess
from antiphon.sandbox.outputs import Gathered

CODE_BYTES: Final = 4 << 20
GRACE_SECONDS: Final = 4.0
"""In which code that was interrupted must end."""

_ANEW: Final = "[Python was started again: variables, functions and imports of before are lost.]\n"
_KEPT: Final = ". What it has defined so far is still there."
_LOST: Final = "Variables, functions and imports of before are lost."
_KILLED: Final = f" and could not be interrupted. Python was ended. {_LOST}"


class Kernel:
    """A Python that is started when it is first needed, and again when it has died. Executions wait for each
    other."""

    def __init__(self, inside: Inside) -> None:
        self._inside = inside
        self._turn = asyncio.Lock()
        self._process: KernelProcess | None = None
        self._lost = False
        """Whether one has died since the last execution."""
        self._doubtful = False
        """Whether it may not be heard any more."""
        self._settling: asyncio.Task[None] | None = None
        """What ends code that nobody waits for any more."""

    async def execute(self, code: str, seconds: float) -> Execution:
        """Run code, which is interrupted after so many seconds. Raises SandboxError, SandboxEnded."""
        if len(code.encode(errors="replace")) > CODE_BYTES:
            return Execution(error=f"The code is too long: {CODE_BYTES:,} bytes are the most.")
        async with self._turn:
            process = await self._ready()
            lost, self._lost = self._lost, False
            execution = await self._executed(process, code, seconds)
        return _with_note(execution) if lost else execution

    async def close(self) -> None:
        """End it. An execution that goes on raises SandboxEnded when the sandbox ends, and not before."""
        if self._settling is not None:
            self._settling.cancel()
            with contextlib.suppress(asyncio.CancelledError, SandboxEnded):
                await self._settling
        await self._give_up()

    async def _ready(self) -> KernelProcess:
        """One that waits for code."""
        if self._settling is not None:
            await asyncio.shield(self._settling)
            self._settling = None
        if self._process is not None and not await self._lives(self._process):
            await self._give_up()
        if self._process is None:
            self._process = await KernelProcess.start(self._inside)
        return self._process

    async def _lives(self, process: KernelProcess) -> bool:
        doubtful, self._doubtful = self._doubtful, False
        return not process.exited.done() and (not doubtful or await process.is_well())

    async def _give_up(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            self._lost = True
            await process.end()

    async def _executed(self, process: KernelProcess, code: str, seconds: float) -> Execution:
        gathered, kills = Gathered(), self._inside.memory_kills()
        work = asyncio.ensure_future(self._work(process, code, gathered))
        try:
            await asyncio.wait({work, process.exited}, timeout=seconds, return_when="FIRST_COMPLETED")
        except asyncio.CancelledError:
            self._settling = asyncio.ensure_future(self._settle(process, work))
            raise
        if work.done():
            work.result()
            error = gathered.error
        elif process.exited.done():
            error = await self._ended(process, work, kills)
        else:
            error = await self._stopped(process, work, seconds)
        self._doubtful = not gathered.is_whole
        return Execution(outputs=gathered.outputs(), error=error)

    @staticmethod
    async def _work(process: KernelProcess, code: str, gathered: Gathered) -> None:
        gathered.is_whole = await process.finished(await process.request(code), gathered)

    async def _stopped(self, process: KernelProcess, work: asyncio.Task[None], seconds: float) -> str:
        """Ends code that takes too long; says what became of it."""
        await self._settle(process, work)
        self._check_sandbox()
        self._lost = False  # it is said here
        words = f"Stopped: the code took longer than {seconds:g} seconds"
        return f"{words}{_KEPT if self._process else _KILLED}"

    async def _settle(self, process: KernelProcess, work: asyncio.Task[None]) -> None:
        """Waits for an execution to end which is not wanted any more, and ends the process if it does not."""
        interrupting = asyncio.ensure_future(process.interrupt())
        try:
            await asyncio.wait({work, process.exited}, timeout=GRACE_SECONDS, return_when="FIRST_COMPLETED")
            if not work.done():
                await self._give_up()
        finally:
            await _cancelled(work)
            await _cancelled(interrupting)

    async def _ended(self, process: KernelProcess, work: asyncio.Task[None], kills: int) -> str:
        """What is said of code that has taken its process along. Raises SandboxEnded."""
        await _cancelled(work)
        code = process.exited.result()
        await self._give_up()
        self._check_sandbox()
        self._lost = False  # it is said here
        if self._inside.memory_kills() > kills:
            why = "there was no memory left for it"
        elif code < 0:
            why = f"it was killed by {_signal(-code)}"
        else:
            why = f"it exited with code {code}"
        return f"Python has ended: {why}. {_LOST}"

    def _check_sandbox(self) -> None:
        if self._inside.ended is not None:
            raise SandboxEnded(self._inside.ended)


async def _cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _with_note(execution: Execution) -> Execution:
    return Execution(outputs=[Logs(_ANEW), *execution.outputs], error=execution.error)
