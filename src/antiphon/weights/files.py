"""Files of weights: verified once, believed as long as they do not change.

What can be trusted is written down: a stamp beside the file names its size and time of change when its sha256
was right, so that gigabytes are not hashed at each start.
"""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec
from msgspec import Struct

from antiphon.weights.errors import WeightsError

Progress = Callable[[int, int], None]
"""Called with the bytes that are there, and bytes in all, while a download goes on."""
CHUNK = 1 << 20
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


class Stamp(Struct, frozen=True):
    """What a file was like when it was verified."""

    sha256: str
    size: int
    mtime_ns: int


def is_whole(path: Path, size: int, sha256: str) -> bool:
    """Whether the file is there and whole. Without a stamp it is hashed, and removed when damaged."""
    if not path.is_file():
        return False
    if _read_stamp(path) == _stamp_of(path, sha256):
        return True
    if path.stat().st_size == size and sha256_of(path) == sha256:
        stamp(path, sha256)
        return True
    path.unlink()
    return False


def is_verified(path: Path) -> bool:
    """Whether the file was whole when it was verified, and has not changed since."""
    found = _read_stamp(path)
    return found is not None and path.is_file() and found == _stamp_of(path, found.sha256)


def stamp(path: Path, sha256: str) -> None:
    """Writes down that the file was verified."""
    place = _stamp_path(path)
    new = place.with_name(f"{place.name}.new")
    new.write_bytes(msgspec.json.encode(_stamp_of(path, sha256)))
    os.replace(new, place)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy(source: IO[bytes], new: Path, progress: Callable[[int], None] | None = None) -> str:
    """Copies to the disk itself, and returns the sha256 of what passed. `progress` gets the bytes so far."""
    digest, done = hashlib.sha256(), 0
    with new.open("wb") as target:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            target.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done)
        target.flush()
        os.fsync(target.fileno())
    return digest.hexdigest()


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Holds a lock that other processes wait for."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def check_room(folder: Path, needed: int) -> None:
    """Raises `WeightsError` when so many bytes do not fit on the disk of a folder."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise WeightsError(
            f"There is no room for the model: {in_words(needed)} are needed in {folder}, and "
            f"{in_words(free)} are free. Make room, or use --data-dir."
        )


def in_words(size: int) -> str:
    """A number of bytes for people: 2.4 GB."""
    amount, unit = float(size), 0
    while amount >= 1000 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}" if unit > 1 and amount < 100 else f"{amount:.0f} {_UNITS[unit]}"


def counted(progress: Progress, before: int, total: int) -> Callable[[int], None]:
    """For one of several files: `before` bytes come before it."""
    return lambda done: progress(before + done, total)


def no_progress(_done: int, _total: int) -> None:
    """Who looks at nothing."""


def _stamp_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.verified")


def _stamp_of(path: Path, sha256: str) -> Stamp:
    status = path.stat()
    return Stamp(sha256=sha256, size=status.st_size, mtime_ns=status.st_mtime_ns)


def _read_stamp(path: Path) -> Stamp | None:
    try:
        return msgspec.json.decode(_stamp_path(path).read_bytes(), type=Stamp)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
