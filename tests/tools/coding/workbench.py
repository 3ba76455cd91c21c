"""A driver for the tests of the tools: code really runs, in folders of its own and without any isolation.

What takes seconds in a sandbox takes none here. `/mnt/data` in code and commands stands for the sandbox's
folder; `display(PNG)` displays a picture.
"""

import ast
import asyncio
import contextlib
import io
import json
import os
import subprocess
import threading
import traceback
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from antiphon.sandbox.base import (
    DATA,
    CommandResult,
    Driver,
    Entry,
    Execution,
    Logs,
    Picture,
    Sandbox,
    SandboxEnded,
    Wanted,
)

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8ffff3f0005fe02fe0def46b80000000049454e44ae426082"
)


class Workbench(Driver):
    """Starts them, below a folder. `down`: why no code runs. Code has the `gate`, and may wait for it."""

    def __init__(self, home: Path) -> None:
        self.down: str | None = None
        self.wanted: list[Wanted] = []
        """What was started."""
        self.gate = threading.Event()
        self._home = home

    @property
    def log(self) -> list[str]:
        """What was run, in its order, by whichever process."""
        path = self._home / "log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    async def check(self) -> str | None:
        return self.down

    async def start(self, wanted: Wanted) -> Sandbox:
        self.wanted.append(wanted)
        folder = self._home / wanted.name
        folder.mkdir(parents=True)
        return Bench(folder, self._home / "log", self.gate)

    async def close(self) -> None:
        pass


class Bench(Sandbox):
    """One of them."""

    def __init__(self, folder: Path, log: Path, gate: threading.Event) -> None:
        self._folder = folder
        self._log = log
        self._ended: str | None = None
        self._shown: list[Logs | Picture] = []
        self._printed = io.StringIO()
        self._names: dict[str, Any] = {"display": self._display, "PNG": PNG, "gate": gate}
        self._turn = asyncio.Lock()

    @property
    def ended(self) -> str | None:
        return self._ended

    async def execute(self, code: str, seconds: float) -> Execution:
        async with self._turn:
            self._note(code)
            if "out of memory" in code:
                self._ended = "The container ran out of memory."
                raise SandboxEnded(self._ended)
            return await asyncio.to_thread(self._python, code.replace(DATA, str(self._folder)))

    async def run(
        self, commands: Sequence[str], seconds: float, most_characters: int
    ) -> Sequence[CommandResult]:
        return [await asyncio.to_thread(self._run, each, seconds, most_characters) for each in commands]

    async def write(self, path: str, content: AsyncIterable[bytes]) -> None:
        if path.startswith(DATA):
            self._place(path).parent.mkdir(parents=True, exist_ok=True)
            self._place(path).write_bytes(b"".join([piece async for piece in content]))

    async def remove(self, path: str) -> None:
        self._place(path).unlink(missing_ok=True)

    async def files(self) -> Sequence[Entry]:
        found = [path for path in sorted(self._folder.rglob("*")) if path.is_file()]
        return [
            Entry(
                path=f"{DATA}/{path.relative_to(self._folder)}",
                size=path.stat().st_size,
                modified_ns=path.stat().st_mtime_ns,
            )
            for path in found
        ]

    async def read(self, path: str) -> AsyncIterator[bytes]:
        yield self._place(path).read_bytes()

    async def close(self) -> None:
        self._ended = self._ended or "It was closed."

    def _place(self, path: str) -> Path:
        return self._folder / path.removeprefix(f"{DATA}/")

    def _run(self, command: str, seconds: float, most: int) -> CommandResult:
        self._note(command)
        place = command.replace(DATA, str(self._folder))
        try:
            done = subprocess.run(
                ["bash", "-c", place], cwd=self._folder, capture_output=True, text=True, timeout=seconds
            )
        except subprocess.TimeoutExpired as late:
            return CommandResult(stdout=(late.stdout or b"").decode()[:most], stderr="", exit_code=None)
        return CommandResult(stdout=done.stdout[:most], stderr=done.stderr[:most], exit_code=done.returncode)

    def _python(self, code: str) -> Execution:
        error = None
        with contextlib.redirect_stdout(self._printed), contextlib.redirect_stderr(self._printed):
            try:
                self._as_notebook(code)
            except Exception:  # noqa: BLE001  whatever the code raises
                error = traceback.format_exc()
        self._flush()
        shown, self._shown = self._shown, []
        return Execution(outputs=shown, error=error)

    def _as_notebook(self, code: str) -> None:
        """The last expression is printed."""
        tree = ast.parse(code)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, "<cell>", "exec"), self._names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), self._names)
            if value is not None:
                print(repr(value))

    def _display(self, data: bytes) -> None:
        self._flush()
        self._shown.append(Picture("image/png", data))

    def _flush(self) -> None:
        if text := self._printed.getvalue():
            self._shown.append(Logs(text))
            self._printed.seek(0)
            self._printed.truncate()

    def _note(self, what: str) -> None:
        with self._log.open("a") as log:
            log.write(json.dumps(what) + "\n")
            log.flush()
            os.fsync(log.fileno())
