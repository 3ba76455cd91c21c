"""The environment of the sandboxes' Python: interpreter and packages, made once and read-only from then on.

Every version of the lock has a folder of its own under the data directory, which several servers may share.
It is made beside its place and renamed when it is whole, so who is killed leaves nothing that looks whole.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from importlib import resources
from pathlib import Path
from typing import IO, Final

from msgspec import Struct

from antiphon.sandbox.base import SandboxUnavailable

Progress = Callable[[float], None]
"""Called with how much of the work is done, from 0 to 1."""

FONTS: Final = "share/fonts"
"""Where in an environment matplotlib's list of fonts is, which it takes long to make."""

_LOCK: Final = "environment.lock"
_MAKING: Final = ".making-"
_WAIT_SECONDS: Final = 0.2
_LINES: Final = 20
"""Of what a program said, these many last ones are looked at when it failed."""
_PACKAGE: Final = re.compile(r"^[a-z0-9][a-z0-9._-]*==", re.MULTILINE | re.IGNORECASE)
_UNCOMPILED: Final = r"/(tests?|testing)/"


class Environment(Struct, frozen=True):
    """A virtual environment that is whole."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"


class Recipe(Struct, frozen=True):
    """What an environment is made of."""

    lock: str
    """The packages, each with its version and hashes, as pip reads them."""
    trial: str
    """A program that runs in one that is whole."""


@cache
def ours() -> Recipe:
    """What sandboxes have."""
    text = resources.files("antiphon.sandbox").joinpath(_LOCK).read_text(encoding="utf-8")
    return Recipe(text, "import ipykernel.kernelapp, matplotlib.font_manager")


def place(data_dir: Path, recipe: Recipe | None = None) -> Path:
    """Where the environment of this version is, or will be."""
    seed = f"{_interpreter()}\n{(recipe or ours()).lock}"
    digest = hashlib.sha256(seed.encode()).hexdigest()[:12]
    return data_dir / "sandbox" / f"python-{sys.version_info[0]}.{sys.version_info[1]}-{digest}"


def find(data_dir: Path) -> Environment | None:
    """The environment of this version, if it was made."""
    environment = Environment(place(data_dir))
    return environment if environment.python.exists() else None


def given(folder: Path) -> Environment:
    """One that the operator has made. Raises SandboxUnavailable."""
    environment = Environment(folder)
    if not environment.python.exists() or not any(folder.glob("lib/python*/site-packages/ipykernel")):
        raise SandboxUnavailable(
            f"environment of [sandbox] names {folder}, which is no virtual environment that has ipykernel."
        )
    return environment


async def make(
    data_dir: Path, progress: Progress = lambda done: None, recipe: Recipe | None = None
) -> Environment:
    """The environment of this version, made now if it is not there; of those who want it at once, one makes
    it and the others wait. What other versions left is removed, unless somebody uses it. Cancelled, it ends
    what it has started. Raises SandboxUnavailable."""
    recipe = recipe or ours()
    where = place(data_dir, recipe)
    try:
        where.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        async with _alone(where.parent / ".python.lock") as held:
            if not Environment(where).python.exists():
                await _made(where, recipe, held, progress)
            await asyncio.to_thread(_remove_others, where)
    except OSError as error:
        raise SandboxUnavailable(
            f"The sandbox's Python cannot be kept in {where.parent}: {error.strerror or error}."
        ) from error
    return Environment(where)


@contextmanager
def used(environment: Environment) -> Iterator[None]:
    """While the block runs, nobody removes the environment."""
    with _use_file(environment.folder).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def size(environment: Environment) -> int:
    """Bytes on disk."""
    files = (file for file in environment.folder.rglob("*") if not file.is_symlink())
    return sum(file.stat().st_size for file in files)


def _interpreter() -> str:
    """The Python that this server runs on, outside of any environment."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


@asynccontextmanager
async def _alone(path: Path) -> AsyncIterator[IO[str]]:
    """Holds a lock. The programs that are started hold it too: where they outlive us, who comes next waits
    for them."""
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(_WAIT_SECONDS)
        yield file


async def _made(where: Path, recipe: Recipe, held: IO[str], progress: Progress) -> None:
    for left_over in where.parent.glob(f"{_MAKING}*"):
        await asyncio.to_thread(shutil.rmtree, left_over, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_MAKING, dir=where.parent))
    try:
        await _fill(folder, recipe, _Runner(folder, held), progress)
        await asyncio.to_thread(_move, folder, where)
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _fill(folder: Path, recipe: Recipe, run: "_Runner", progress: Progress) -> None:
    await run([_interpreter(), "-I", "-m", "venv", "--without-pip", str(folder)])
    packages = len(_PACKAGE.findall(recipe.lock))
    with _counting(lambda done: progress(0.5 * min(done / packages, 1))) as count:
        await run(_pip(folder, recipe), lambda line: count() if line.startswith("Collecting") else None)
    files = await asyncio.to_thread(_sources, folder)
    compile_all = [str(folder / "bin" / "python"), "-m", "compileall", "-j", "0", "-x", _UNCOMPILED]
    with _counting(lambda done: progress(0.5 + 0.5 * min(done / files, 1))) as count:
        # Some packages carry files for other versions of Python: that these cannot be compiled is no fault.
        await run([*compile_all, str(folder / "lib")], lambda line: count(), codes=(0, 1))
    await run([str(folder / "bin" / "python"), "-c", recipe.trial])


def _sources(folder: Path) -> int:
    return sum(1 for file in folder.glob("lib/**/*.py") if not re.search(_UNCOMPILED, str(file)))


@contextmanager
def _counting(progress: Progress) -> Iterator[Callable[[], None]]:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        progress(done)

    yield count
    progress(1e9)


def _pip(folder: Path, recipe: Recipe) -> list[str]:
    """pip obeys what the user has set for it: indexes, mirrors, proxies. Packages are not built here, since
    that would run what they bring outside of the sandbox."""
    requirements = folder / _LOCK
    requirements.write_text(recipe.lock, encoding="utf-8")
    command = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
    command += ["--require-hashes", "--only-binary=:all:", "--no-deps", "--no-compile", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar=off", "--no-warn-script-location"]
    return [*command, "--requirement", str(requirements)]


class _Runner:
    """Runs the programs that make an environment, behind all else that this machine has to do."""

    def __init__(self, folder: Path, held: IO[str]) -> None:
        self._environ = {**os.environ, "MPLCONFIGDIR": str(folder / FONTS), "PYTHONNOUSERSITE": "1"}
        self._held = held.fileno()

    async def __call__(
        self,
        command: list[str],
        heard: Callable[[str], None] = lambda line: None,
        codes: tuple[int, ...] = (0,),
    ) -> None:
        """Raises SandboxUnavailable, with what the program said last."""
        nice = ["nice", "-n", "15"] if shutil.which("nice") else []
        process = await asyncio.create_subprocess_exec(
            *nice,
            *command,
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(self._held,),
            start_new_session=True,
        )
        assert process.stdout is not None
        said: list[str] = []
        try:
            async for line in process.stdout:
                said = [*said[-_LINES:], line.decode(errors="replace").strip()]
                heard(said[-1])
            code = await process.wait()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if code not in codes:
            raise SandboxUnavailable(_why(said))


def _why(said: list[str]) -> str:
    lines = [line for line in said if line.startswith("ERROR:")] or [line for line in said if line][-1:]
    reason = lines[-1].removeprefix("ERROR:").strip() if lines else "nothing was said"
    return (
        f"The sandbox's Python could not be made: {reason}. Check the network, or the index and proxy that "
        "pip is set up with, and try again with `antiphon sandbox setup`."
    )


def _move(folder: Path, where: Path) -> None:
    _make_movable(folder / "bin")
    folder.chmod(0o755)
    folder.rename(where)


def _make_movable(folder: Path) -> None:
    """Scripts name the interpreter by its path, which is another one in a sandbox; they find it on PATH."""
    for script in folder.iterdir():
        if script.name.lower().startswith("activate"):
            script.unlink()
        elif not script.is_symlink():
            content = script.read_bytes()
            if content.startswith(b"#!"):
                script.write_bytes(b"#!/usr/bin/env python3\n" + content.partition(b"\n")[2])


def _use_file(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.used")


def _remove_others(where: Path) -> None:
    for folder in where.parent.glob("python-*"):
        if folder != where:
            with _use_file(folder).open("w") as file, contextlib.suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                gone = Path(tempfile.mkdtemp(prefix=_MAKING, dir=where.parent))
                folder.rename(gone)
                _use_file(folder).unlink()
                shutil.rmtree(gone, ignore_errors=True)
