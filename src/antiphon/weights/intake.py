"""A model's files from elsewhere on this machine, taken into the data directory."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from antiphon.weights import gguf
from antiphon.weights.choice import parts_of
from antiphon.weights.errors import WeightsError
from antiphon.weights.files import Progress, alone, check_room, copy, counted


def take_in(source: Path, folder: Path, progress: Progress) -> Path:
    """Gives the files a second name in the folder, so that they stay when the first one goes; from another
    disk they are copied. Raises `WeightsError`, OSError."""
    gguf.read(source)
    folder.mkdir(parents=True, exist_ok=True)
    sources = [source.with_name(name) for name in parts_of(source.name)]
    total, before = sum(each.stat().st_size for each in sources), 0
    with alone(folder / ".lock"):
        for each in sources:
            _take(each, folder / each.name, counted(progress, before, total))
            before += each.stat().st_size
    return folder / source.name


def _take(source: Path, target: Path, progress: Callable[[int], None]) -> None:
    if target.exists():
        if target.samefile(source) or _look(target) == _look(source):
            return
        raise WeightsError(f"There is another {target.name} already: remove {target}, or rename the new one.")
    new = target.with_name(f".{target.name}.new")
    new.unlink(missing_ok=True)
    try:
        os.link(source, new)
    except OSError:  # another disk, or one that knows no links
        _copy(source, new, progress)
    os.replace(new, target)


def _copy(source: Path, new: Path, progress: Callable[[int], None]) -> None:
    check_room(new.parent, source.stat().st_size)
    try:
        with source.open("rb") as file:
            copy(file, new, progress)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    shutil.copystat(source, new)


def _look(path: Path) -> tuple[int, int]:
    """What a copy shares with what it was made of."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns
