"""The commands `antiphon sandbox`: its Python is made, and code is run in it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from antiphon import config
from antiphon.cli.options import ConfigFile, DataDir, fail

if TYPE_CHECKING:
    from antiphon.sandbox.base import Execution, Picture, Sandbox
    from antiphon.sandbox.environment import Environment

app = typer.Typer(help="Sandboxes, where code from models runs.", no_args_is_help=True)

_STEPS = 1000
_PIECE = 1 << 20
_SUFFIXES = {"image/png": "png", "image/jpeg": "jpg", "image/svg+xml": "svg"}


@app.command()
def setup(data_dir: DataDir = None, config_file: ConfigFile = None) -> None:
    """Makes the Python of the sandboxes, if it is not there yet, and looks whether code can run here."""
    from antiphon.sandbox.base import SandboxError
    from antiphon.sandbox.environment import size
    from antiphon.weights.files import in_words

    settings = config.load(config_file, data_dir=data_dir)
    try:
        if settings.sandbox.driver != "jupyter":
            environment = _made(settings)
            print(f"{environment.folder}  {in_words(size(environment))}")
        obstacle = asyncio.run(_obstacle(settings))
    except SandboxError as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("Interrupted: nothing was made.")
    if obstacle:
        fail(obstacle)


@app.command()
def run(
    code: Annotated[str, typer.Argument(help="Python code; `-`: what is typed or piped in.")],
    file: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="A file that is put into its /mnt/data. May be repeated."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where pictures, and the files of its /mnt/data, are saved.")
    ] = None,
    data_dir: DataDir = None,
    config_file: ConfigFile = None,
) -> None:
    """Runs Python code in a sandbox of its own. Exit code 1 when it fails."""
    from antiphon.sandbox.base import SandboxError

    settings = config.load(config_file, data_dir=data_dir)
    if code == "-":
        code = sys.stdin.read()
    files = file or []
    if missing := [str(each) for each in files if not each.is_file()]:
        fail(f"There is no file {', no file '.join(missing)}.")
    try:
        execution = asyncio.run(_run(settings, code, files, out))
    except SandboxError as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("Interrupted.")
    except OSError as error:
        fail(f"A file cannot be read or written: {error}.")
    if execution.error is not None:
        raise SystemExit(1)


def _made(settings: config.Config) -> "Environment":
    from antiphon.cli.progress import bar
    from antiphon.sandbox import environment

    if settings.sandbox.environment is not None:
        return environment.given(Path(settings.sandbox.environment).expanduser().absolute())
    data_dir = Path(settings.data_dir)
    found = environment.find(data_dir)
    if found is not None:
        return found
    print("Making the Python of the sandboxes …", file=sys.stderr)
    with bar("Packages", _STEPS) as done:
        return asyncio.run(environment.make(data_dir, lambda part: done(int(part * _STEPS))))


async def _obstacle(settings: config.Config) -> str | None:
    from antiphon.api.sandbox_setup import sandbox_options
    from antiphon.sandbox.open import driver_of

    driver = driver_of(sandbox_options(settings))
    try:
        return await driver.obstacle()
    finally:
        await driver.close()


async def _run(settings: config.Config, code: str, files: list[Path], out: Path | None) -> "Execution":
    from antiphon.api.sandbox_setup import sandbox_options
    from antiphon.sandbox.base import DATA, Limits, Wanted
    from antiphon.sandbox.open import driver_of

    given = settings.sandbox
    limits = Limits(
        memory_bytes=given.memory_mb << 20, disk_bytes=given.disk_mb << 20, processes=given.processes
    )
    driver = driver_of(replace(sandbox_options(settings), warm=0))
    try:
        sandbox = await driver.start(Wanted(name="command", limits=limits))
        for each in files:
            await sandbox.write(f"{DATA}/{each.name}", _pieces(each))
        execution = await sandbox.execute(code, given.seconds)
        _show(execution, out)
        if out is not None:
            await _save(sandbox, out)
    finally:
        await driver.close()
    return execution


def _show(execution: "Execution", out: Path | None) -> None:
    """Prints the outputs, and saves the pictures."""
    from antiphon.sandbox.base import Logs

    number = 0
    for output in execution.outputs:
        if isinstance(output, Logs):
            print(output.text, end="" if output.text.endswith("\n") else "\n")
        else:
            number += 1
            _show_picture(output, number, out)
    if execution.error is not None:
        print(execution.error.rstrip("\n"), file=sys.stderr)


def _show_picture(picture: "Picture", number: int, out: Path | None) -> None:
    if out is None:
        print(f"[a picture, {len(picture.data):,} bytes: --out DIR saves it]")
        return
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"picture-{number}.{_SUFFIXES.get(picture.media_type, 'bin')}"
    path.write_bytes(picture.data)
    print(f"[a picture: {path}]")


async def _save(sandbox: "Sandbox", out: Path) -> None:
    """Copies the files of the sandbox, as they lie in its folder."""
    from antiphon.sandbox.base import DATA

    for entry in await sandbox.files():
        path = out.joinpath(*Path(entry.path).relative_to(DATA).parts)
        pieces = [piece async for piece in sandbox.read(entry.path)]
        await asyncio.to_thread(_write, path, b"".join(pieces))
        print(f"[a file: {path}]")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
