"""Containers for the tests of the tools: code really runs, in folders of its own and without any isolation.

`/mnt/data` in code and commands stands for the container's folder. All is on the disk, so a server that was
killed finds it again.
"""

import ast
import asyncio
import contextlib
import io
import json
import os
import subprocess
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from antiphon.protocol.ids import new_container_id
from antiphon.sandbox.base import CommandResult, Execution, Logs, Picture, SandboxEnded
from antiphon.tools.containers import (
    ContainerError,
    ContainerExpired,
    ContainerFile,
    MountedSkill,
    NewContainer,
    NoSuchContainer,
    Ran,
)

DATA = "/mnt/data"
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8ffff3f0005fe02fe0def46b80000000049454e44ae426082"
)
_LONGEST = 5.0


class Workbench:
    """All containers of a server, below a folder. `down`: why no code runs."""

    def __init__(self, home: Path, down: str | None = None) -> None:
        self.down = down
        self.most = 100
        """Containers that may be made."""
        self._home = home
        self._pythons: dict[str, dict[str, Any]] = {}

    # ---- what tests look at, and do ----

    @property
    def log(self) -> list[str]:
        """What was run, in its order."""
        path = self._home / "log"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def made(self) -> list[str]:
        """The containers, in the order in which they were made."""
        rows = [json.loads(path.read_text()) for path in self._home.glob("*/row.json")]
        return [row["id"] for row in sorted(rows, key=lambda row: row["number"])]

    def row(self, container_id: str) -> dict[str, Any]:
        """What a container was made as."""
        row: dict[str, Any] = json.loads((self._home / container_id / "row.json").read_text())
        return row

    def folder(self, container_id: str) -> Path:
        return self._home / container_id / "data"

    def end(self, container_id: str, how: str) -> None:
        """It is `expired` or `deleted` from now on."""
        self._write(container_id, self.row(container_id) | {"ended": how})

    # ---- the Protocol ----

    async def unavailable(self) -> str | None:
        return self.down

    async def create(self, project: str, new: NewContainer, container_id: str | None = None) -> str:
        if len(self.made) >= self.most:
            raise ContainerError("There is no room for another container.")
        made = container_id or new_container_id()
        self.folder(made).mkdir(parents=True)
        row = {"id": made, "number": len(self.made), "project": project, "ended": "", "files": {}}
        row |= {"memory_limit": new.memory_limit, "domains": list(new.domains)}
        row["skills"] = [getattr(skill, "name", "") for skill in new.skills]
        self._write(made, row)
        return made

    async def adopt(self, project: str, container_id: str, wanted: NewContainer) -> bool:
        await self.check(project, container_id)
        row = self.row(container_id)
        return (row["memory_limit"], row["domains"]) == (wanted.memory_limit, list(wanted.domains))

    async def check(self, project: str, container_id: str) -> None:
        path = self._home / container_id / "row.json"
        row = json.loads(path.read_text()) if path.exists() else {}
        if row.get("project") != project or row["ended"] == "deleted":
            raise NoSuchContainer(f"There is no container '{container_id}'.")
        if row["ended"]:
            raise ContainerExpired("Container is expired.")

    async def skills(self, project: str, container_id: str) -> Sequence[MountedSkill]:
        await self.check(project, container_id)
        return [
            MountedSkill(name=name, description=f"About {name}.", path=f"/home/oai/skills/{name}-0")
            for name in self.row(container_id)["skills"]
        ]

    async def add(self, project: str, container_id: str, filename: str, content: bytes) -> ContainerFile:
        await self.check(project, container_id)
        (self.folder(container_id) / filename).write_bytes(content)
        return next(file for file in self._list(container_id) if file.path == f"{DATA}/{filename}")

    async def execute(self, project: str, container_id: str, code: str) -> Ran:
        await self.check(project, container_id)
        self._note(code)
        before = {path: path.stat().st_mtime_ns for path in self.folder(container_id).iterdir()}
        execution = await asyncio.to_thread(self._python, container_id, code)
        shown = [output for output in execution.outputs if isinstance(output, Picture)]
        pictures = [self._keep(container_id, picture) for picture in shown]
        changed = [
            file
            for file in self._list(container_id)
            if before.get(self._path(container_id, file)) != self._path(container_id, file).stat().st_mtime_ns
        ]
        return Ran(
            execution=execution,
            files=[file for file in changed if not file.shows_picture],
            pictures=pictures,
        )

    async def run(
        self,
        project: str,
        container_id: str,
        commands: Sequence[str],
        seconds: float | None,
        most_characters: int | None,
    ) -> Sequence[CommandResult]:
        await self.check(project, container_id)
        return [
            await asyncio.to_thread(self._command, container_id, command, seconds, most_characters)
            for command in commands
        ]

    async def files(self, project: str, container_id: str) -> Sequence[ContainerFile]:
        await self.check(project, container_id)
        return self._list(container_id)

    # ---- how it is done ----

    def _python(self, container_id: str, code: str) -> Execution:
        if "out of memory" in code:
            raise SandboxEnded("The container ran out of memory.")
        outputs: list[Logs | Picture] = []
        printed = io.StringIO()

        def display(data: bytes) -> None:
            _flush(printed, outputs)
            outputs.append(Picture("image/png", data))

        names = self._pythons.setdefault(container_id, {"display": display, "PNG": PNG})
        names["display"] = display
        error = None
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            try:
                _execute(code.replace(DATA, str(self.folder(container_id))), names, printed)
            except Exception:  # noqa: BLE001 (whatever the code raises)
                error = traceback.format_exc()
        _flush(printed, outputs)
        return Execution(outputs=outputs, error=error)

    def _command(
        self, container_id: str, command: str, seconds: float | None, most: int | None
    ) -> CommandResult:
        self._note(command)
        folder = self.folder(container_id)
        try:
            done = subprocess.run(
                ["bash", "-c", command.replace(DATA, str(folder))],
                cwd=folder,
                capture_output=True,
                text=True,
                timeout=min(seconds or _LONGEST, _LONGEST),
            )
        except subprocess.TimeoutExpired as late:
            return CommandResult(stdout=(late.stdout or b"").decode()[:most], stderr="", exit_code=None)
        return CommandResult(stdout=done.stdout[:most], stderr=done.stderr[:most], exit_code=done.returncode)

    def _list(self, container_id: str) -> list[ContainerFile]:
        row = self.row(container_id)
        paths = sorted(
            (path for path in self.folder(container_id).iterdir()), key=lambda path: path.stat().st_mtime_ns
        )
        for path in paths:
            row["files"].setdefault(path.name, f"cfile_{len(row['files'])}")
        self._write(container_id, row)
        return [
            ContainerFile(id=row["files"][path.name], path=f"{DATA}/{path.name}", size=path.stat().st_size)
            for path in paths
        ]

    def _keep(self, container_id: str, picture: Picture) -> ContainerFile:
        self._list(container_id)
        file_id = f"cfile_{len(self.row(container_id)['files'])}"
        path = self.folder(container_id) / f"{file_id}.png"
        path.write_bytes(picture.data)
        (file,) = [file for file in self._list(container_id) if file.path.endswith(f"/{file_id}.png")]
        return file

    def _path(self, container_id: str, file: ContainerFile) -> Path:
        return self.folder(container_id) / file.path.removeprefix(f"{DATA}/")

    def _write(self, container_id: str, row: dict[str, Any]) -> None:
        (self._home / container_id / "row.json").write_text(json.dumps(row))

    def _note(self, what: str) -> None:
        with (self._home / "log").open("a") as log:
            log.write(json.dumps(what) + "\n")
            log.flush()
            os.fsync(log.fileno())


def _execute(code: str, names: dict[str, Any], printed: io.StringIO) -> None:
    """As a notebook does: the last expression is printed."""
    tree = ast.parse(code)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)
    if isinstance(last, ast.Expr):
        value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
        if value is not None:
            print(repr(value), file=printed)


def _flush(printed: io.StringIO, outputs: list[Logs | Picture]) -> None:
    if text := printed.getvalue():
        outputs.append(Logs(text))
        printed.seek(0)
        printed.truncate()
