"""A driver that isolates nothing: real processes in folders of their own, for tests of what stands on one."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from base64 import b64decode
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from pathlib import Path

from antiphon.sandbox.base import (
    DATA,
    SKILLS,
    CommandResult,
    Driver,
    Entry,
    Execution,
    Logs,
    Picture,
    Sandbox,
    SandboxEnded,
    SandboxError,
    Wanted,
)

_PYTHON = """
import base64, contextlib, io, json, sys, traceback
state, lines, out = {}, sys.stdin, sys.stdout
for line in lines:
    printed, pictures, error = io.StringIO(), [], None
    state["show"] = lambda data: pictures.append(base64.b64encode(data).decode())
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(json.loads(line), "code", "exec"), state)
        except BaseException:
            error = traceback.format_exc()
    answer = {"printed": printed.getvalue(), "pictures": pictures, "error": error}
    print(json.dumps(answer), file=out, flush=True)
"""


class PlainSandbox(Sandbox):
    """`/mnt/data` and the folder of skills are folders of its own; its Python is a process. `show(bytes)`
    displays a picture."""

    def __init__(self, folder: Path, python: asyncio.subprocess.Process, disk_bytes: int) -> None:
        self.folder = folder
        self._python = python
        self._disk_bytes = disk_bytes
        self._ended: str | None = None
        self._turn = asyncio.Lock()
        self._vanished = False
        self.used = asyncio.Event()
        """Set when something begins to run, until a test clears it."""

    def vanish(self) -> None:
        """It ends, which nobody sees before he asks something of it."""
        self._vanished = True

    def put(self, name: str) -> None:
        """A file, behind the back of who uses it."""
        (self.folder / "data" / name).touch()

    @property
    def ended(self) -> str | None:
        if self._ended is None and self._python.returncode is not None:
            self._ended = "It was killed."
        return self._ended

    async def execute(self, code: str, seconds: float) -> Execution:
        self._check()
        assert self._python.stdin is not None
        assert self._python.stdout is not None
        self.used.set()
        async with self._turn:
            code = code.replace(DATA, str(self.folder / "data")).replace(SKILLS, str(self.folder / "skills"))
            self._python.stdin.write(json.dumps(code).encode() + b"\n")
            try:
                async with asyncio.timeout(seconds):
                    line = await self._python.stdout.readline()
            except BaseException:  # its answer would be taken for that of the next
                await self.close()
                raise
        if not line:
            await self.close()
            self._ended = "It was killed."
            raise SandboxEnded(self._ended)
        answer = json.loads(line)
        pictures = [Picture("image/png", b64decode(data)) for data in answer["pictures"]]
        logs = [Logs(answer["printed"])] if answer["printed"] else []
        return Execution(outputs=[*logs, *pictures], error=answer["error"])

    async def run(
        self, commands: Sequence[str], seconds: float, most_characters: int
    ) -> Sequence[CommandResult]:
        self._check()
        self.used.set()
        return [await self._run_one(command, seconds, most_characters) for command in commands]

    async def write(self, path: str, content: AsyncIterable[bytes]) -> None:
        self._check()
        place = self._place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        data = b"".join([piece async for piece in content])
        if sum(entry.size for entry in await self.files()) + len(data) > self._disk_bytes:
            raise SandboxError("There is no room left on the disk.")
        place.write_bytes(data)

    async def remove(self, path: str) -> None:
        self._check()
        self._place(path).unlink(missing_ok=True)

    async def files(self) -> Sequence[Entry]:
        self._check()
        data = self.folder / "data"
        found = []
        for path in sorted(data.rglob("*")):
            if path.is_file() and not path.is_symlink():
                status = path.stat()
                name = f"{DATA}/{path.relative_to(data)}"
                found.append(Entry(path=name, size=status.st_size, modified_ns=status.st_mtime_ns))
        return found

    async def read(self, path: str) -> AsyncIterator[bytes]:
        self._check()
        with self._place(path).open("rb") as file:
            while piece := file.read(65536):
                yield piece

    async def close(self) -> None:
        self._ended = self._ended or "It was closed."
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._python.pid, signal.SIGKILL)
        await self._python.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check(self) -> None:
        if self._vanished:
            self._ended = "It was killed."
        if self.ended is not None:
            raise SandboxEnded(self.ended)

    def _place(self, path: str) -> Path:
        for inside, folder in ((DATA, "data"), (SKILLS, "skills")):
            if path.startswith(f"{inside}/"):
                return self.folder / folder / path.removeprefix(f"{inside}/")
        raise SandboxError(f"{path} is no place for files.")

    async def _run_one(self, command: str, seconds: float, most: int) -> CommandResult:
        process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", command.replace(DATA, str(self.folder / "data"))),
            cwd=self.folder / "data",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(seconds):
                out, err = await process.communicate()
        except TimeoutError:
            os.killpg(process.pid, signal.SIGKILL)
            await process.communicate()
            return CommandResult(stdout="", stderr="", exit_code=None)
        texts = (out.decode()[:most], err.decode()[:most])
        return CommandResult(stdout=texts[0], stderr=texts[1], exit_code=process.returncode)


class PlainDriver(Driver):
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[PlainSandbox] = []
        self.wanted: list[Wanted] = []

    @property
    def living(self) -> list[PlainSandbox]:
        return [sandbox for sandbox in self.started if sandbox.ended is None]

    async def check(self) -> str | None:
        return None

    async def start(self, wanted: Wanted) -> Sandbox:
        assert wanted.name not in [each.name for each in self.wanted]
        folder = self._folder / wanted.name
        for name in ("data", "skills"):
            (folder / name).mkdir(parents=True)
        python = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", _PYTHON),
            cwd=folder / "data",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        sandbox = PlainSandbox(folder, python, wanted.limits.disk_bytes)
        self.started.append(sandbox)
        self.wanted.append(wanted)
        return sandbox

    async def close(self) -> None:
        for sandbox in self.living:
            await sandbox.close()
