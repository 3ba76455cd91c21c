"""Files of a folder that a sandbox writes to as it likes, even while they are read: no link is ever followed.

Every part of a path is opened on its own, below what was opened before it, and never through a link. What is
read must be a regular file with one name. Everything here waits for the disk: it is called in threads.
"""

import os
import secrets
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import PurePosixPath
from typing import Self

from msgspec import Struct

from antiphon.sandbox.base import SandboxError

DEEPEST = 64
"""How many folders may lie within each other."""
LONGEST_PART = 255
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Found(Struct, frozen=True):
    """Something in a folder, with the parts of its path from there."""

    parts: Sequence[str]
    status: os.stat_result


class TooDeep(Exception):
    """More folders lie within each other than may."""


def parts_below(top: str, path: str) -> Sequence[str] | None:
    """The parts of a path from `top` on; None: it leads elsewhere. Raises SandboxError for no path."""
    if "\0" in path or ".." in PurePosixPath(path).parts:
        raise SandboxError(f"{path!r} is not the path of a file.")
    try:
        parts = PurePosixPath(path).relative_to(top).parts
    except ValueError:
        return None
    if any(len(part.encode(errors="surrogateescape")) > LONGEST_PART for part in parts):
        raise SandboxError(f"A name in {path[:100]!r} is longer than {LONGEST_PART} bytes.")
    return parts if 0 < len(parts) < DEEPEST - 1 else None


class Folder:
    """A folder, with all below it."""

    def __init__(self, path: str | os.PathLike[str], owner: int | None = None, mode: int = 0o644) -> None:
        """New files and folders are given to `owner`, if there is one."""
        self._top = os.open(path, _FOLDER)
        self._owner = owner
        self._mode = mode
        self._lock = threading.Lock()

    def close(self) -> None:
        with self._lock:
            os.close(self._top)
            self._top = -1

    def _own(self) -> int:
        """For one piece of work, which `close` does not take it from. Raises OSError when it is closed."""
        with self._lock:
            return os.dup(self._top)

    def open(self, parts: Sequence[str]) -> tuple[int, int]:
        """A regular file: its descriptor, and its size now. Raises FileNotFoundError."""
        try:
            with self._parent(parts) as parent:
                descriptor = os.open(parts[-1], _FILE, dir_fd=parent)
        except OSError as error:
            raise FileNotFoundError(f"There is no file at {'/'.join(parts)}.") from error
        status = os.fstat(descriptor)
        if not is_plain(status):
            os.close(descriptor)
            raise FileNotFoundError(f"At {'/'.join(parts)} is no regular file of its own.")
        return descriptor, status.st_size

    def remove(self, parts: Sequence[str]) -> None:
        """Delete what is not a folder, if it is there. Raises SandboxError."""
        try:
            with self._parent(parts) as parent:
                os.unlink(parts[-1], dir_fd=parent)
        except FileNotFoundError:
            return
        except OSError as error:
            raise SandboxError(f"{'/'.join(parts)} cannot be deleted: {error.strerror}.") from error

    def place(self, incoming: "Incoming", parts: Sequence[str]) -> None:
        """Put a file where it belongs, instead of what is there; folders are made. Raises SandboxError."""
        try:
            with self._parent(parts, make=True) as parent:
                os.fchmod(incoming.descriptor, self._mode)
                if self._owner is not None:
                    os.fchown(incoming.descriptor, self._owner, self._owner)
                incoming.move(parts[-1], parent)
        except OSError as error:
            raise SandboxError(f"{'/'.join(parts)} cannot be written: {error.strerror}.") from error

    @contextmanager
    def _parent(self, parts: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """The folder in which the last part lies."""
        here = self._own()
        try:
            for part in parts[:-1]:
                if make:
                    self._make(part, here)
                below = os.open(part, _FOLDER, dir_fd=here)
                os.close(here)
                here = below
            yield here
        finally:
            os.close(here)

    def _make(self, name: str, parent: int) -> None:
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=parent)
            if self._owner is not None:
                os.chown(name, self._owner, self._owner, dir_fd=parent, follow_symlinks=False)

    def plain(self, most: int) -> Sequence[Found]:
        """So many of the regular files at most. Raises OSError when it is closed."""
        top = self._own()
        try:
            files = (each for each in walk(top, strict=False) if is_plain(each.status))
            return list(islice((each for each in files if _is_text(each.parts)), most))
        finally:
            os.close(top)


def is_plain(status: os.stat_result) -> bool:
    """Whether this is a regular file that has no second name."""
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _is_text(parts: Sequence[str]) -> bool:
    try:
        "".join(parts).encode()
    except UnicodeEncodeError:
        return False
    return True


def walk(folder: int, *, strict: bool, above: tuple[str, ...] = ()) -> Iterator[Found]:
    """All that is in an open folder and below. What lies deeper than may be is left out, or raises TooDeep if
    strict."""
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                found = Found((*above, entry.name), entry.stat(follow_symlinks=False))
                yield found
                if stat.S_ISDIR(found.status.st_mode):
                    if len(found.parts) < DEEPEST:
                        yield from _walk_below(folder, found, strict)
                    elif strict:
                        raise TooDeep


def _walk_below(parent: int, found: Found, strict: bool) -> Iterator[Found]:
    name = found.parts[-1]
    try:
        below = os.open(name, _FOLDER, dir_fd=parent)
    except PermissionError:
        below = _open_closed(name, parent)
    try:
        yield from walk(below, strict=strict, above=tuple(found.parts))
    finally:
        os.close(below)


def _open_closed(name: str, parent: int) -> int:
    """A folder that its owner has closed, who is our user too: nothing may be hidden in it."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.chmod(f"/proc/self/fd/{handle}", 0o700)
    finally:
        os.close(handle)
    return os.open(name, _FOLDER, dir_fd=parent)


class Incoming:
    """A file that is being written where no sandbox sees it. It is gone if it was not moved."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        """In a folder of the file system to which it will be moved."""
        self._folder = os.open(folder, _FOLDER)
        self._name: str | None = secrets.token_hex(8)
        self.descriptor = os.open(self._name, _NEW, 0o600, dir_fd=self._folder)

    def write(self, data: bytes) -> None:
        """Raises SandboxError."""
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self.descriptor, left) :]
        except OSError as error:
            raise SandboxError(f"A file cannot be written: {error.strerror}.") from error

    def move(self, name: str, folder: int) -> None:
        """Raises OSError."""
        assert self._name is not None
        os.rename(self._name, name, src_dir_fd=self._folder, dst_dir_fd=folder)
        self._name = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        os.close(self.descriptor)
        if self._name is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._name, dir_fd=self._folder)
        os.close(self._folder)
