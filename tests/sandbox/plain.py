"""An inside without a sandbox: the kernel's processes run here."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from antiphon.sandbox.inside import SOCKETS, Inside, Process


class PlainProcess(Process):
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def signal(self, number: int) -> None:
        self._process.send_signal(number)

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def wait(self) -> int:
        return await self._process.wait()


class Plain(Inside):
    def __init__(self, python: Path, home: Path) -> None:
        self._python = python
        self._home = home

    @property
    def python(self) -> str | None:
        return str(self._python)

    @property
    def sockets(self) -> Path:
        return self._home

    @property
    def ended(self) -> str | None:
        return None

    async def spawn(
        self, argv: Sequence[str], environment: Mapping[str, str] | None = None, cwd: str = ""
    ) -> Process:
        given = {name: value.replace(SOCKETS, str(self._home)) for name, value in (environment or {}).items()}
        return PlainProcess(
            await asyncio.create_subprocess_exec(
                *argv,
                env={"PATH": f"{self._python.parent}:/usr/bin:/bin", "HOME": str(self._home), **given},
                cwd=cwd or self._home,
                start_new_session=True,
            )
        )

    def memory_kills(self) -> int:
        return 0

    async def end(self, why: str) -> None: ...
