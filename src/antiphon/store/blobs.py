"""Bytes on disk, each run of them under a name of ours.

What has a name is whole: bytes come into a file of their own, which is made durable and then renamed. So
whoever dies in the middle leaves at most a file that no row knows, for `orphans` to find. Nothing here holds
more than a megabyte at a time, but for `read`.
"""

import asyncio
import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

_CHUNK = 1024 * 1024
_NAME = re.compile(r"[A-Za-z]+[-_][A-Za-z0-9]+").fullmatch
_INCOMING = "arriving"
"""The folder's name on disk, which older versions gave it."""


class Blob(Struct, frozen=True):
    """What has come in."""

    size: int
    sha256: bytes
    md5: str


class Blobs:
    """A folder of blobs, which several processes may share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def incoming(self, name: str) -> AsyncIterator["IncomingBlob"]:
        """Takes bytes in. Unless `keep` was called, nothing is left of them when the block is."""
        incoming = IncomingBlob(self._folder / _INCOMING / name, self.path(name))
        try:
            yield incoming
        finally:
            incoming.drop()

    def path(self, name: str) -> Path:
        """Where a blob lies, if it is there."""
        if not _NAME(name):
            raise ValueError(f"not the name of a blob: {name!r}")
        return self._folder / name[-2:].lower() / name

    async def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        return await asyncio.to_thread(self.path(name).read_bytes)

    async def duplicate(self, name: str, other: str) -> None:
        """The same bytes under another name as well: no copy of them, where the disk knows links. Raises
        FileNotFoundError."""
        await asyncio.to_thread(self._duplicate, self.path(name), self.path(other))

    async def pieces(self, name: str) -> AsyncIterator[bytes]:
        """The bytes, a piece at a time. Raises FileNotFoundError."""
        file = await asyncio.to_thread(self.path(name).open, "rb", buffering=0)
        with file:
            while piece := await asyncio.to_thread(file.read, _CHUNK):
                yield piece

    async def join(self, names: Sequence[str], into: "IncomingBlob") -> None:
        """Append blobs to one that comes in. Raises FileNotFoundError."""
        for name in names:
            await asyncio.to_thread(into.append_file, self.path(name))

    async def remove(self, names: Iterable[str]) -> None:
        """Blobs that are not there are gone already."""
        await asyncio.to_thread(self._remove, [self.path(name) for name in names])

    async def orphans(self, age: float) -> Sequence[str]:
        """The names of all blobs that have lain here for `age` seconds: of those nobody knows, whoever sent
        them is gone. What has not come in whole in that time, and is not coming still, is removed."""
        return await asyncio.to_thread(self._older, time.time() - age)

    def _duplicate(self, path: Path, other: Path) -> None:
        other.parent.mkdir(parents=True, exist_ok=True)
        os.utime(path)  # both names have one age, and what nobody knows yet must be young
        try:
            os.link(path, other)
        except FileNotFoundError:
            raise
        except OSError:  # the disk knows no links
            arriving = self._folder / _INCOMING / other.name
            shutil.copyfile(path, arriving)
            arriving.chmod(0o600)
            arriving.rename(other)
        _make_durable(other.parent)

    def _remove(self, paths: Iterable[Path]) -> None:
        for path in paths:
            path.unlink(missing_ok=True)

    def _older(self, moment: float) -> list[str]:
        old = [path for path in self._folder.glob("*/*") if _modified(path) < moment]
        self._remove(path for path in old if path.parent.name == _INCOMING)
        return [path.name for path in old if path.parent.name != _INCOMING and _NAME(path.name)]


class IncomingBlob:
    """A blob that is being written. Chunks are gathered, and written and hashed in a thread."""

    def __init__(self, temporary: Path, final: Path) -> None:
        self.name = final.name
        self.size = 0
        self._temporary = temporary
        self._final = final
        self._file: int | None = None
        self._waiting: list[bytes] = []
        self._held = 0
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._writing = threading.Lock()
        self._dropped = False

    async def write(self, chunk: bytes) -> None:
        self._waiting.append(chunk)
        self._held += len(chunk)
        self.size += len(chunk)
        if self._held >= _CHUNK:
            await asyncio.to_thread(self._flush, self._taken())

    async def finish(self) -> Blob:
        """Everything is on the disk."""
        await asyncio.to_thread(self._flush, self._taken(), durable=True)
        return Blob(self.size, self._sha256.digest(), self._md5.hexdigest())

    async def keep(self) -> None:
        """What was finished has its name now, and stays."""
        await asyncio.to_thread(self._keep)

    def append_file(self, path: Path) -> None:
        """In a thread: the bytes of another blob."""
        with path.open("rb", buffering=0) as source:
            while chunk := source.read(_CHUNK):
                self.size += len(chunk)
                self._flush([chunk])

    def drop(self) -> None:
        """Waits for a write that is under way, which takes a moment, and lets go of the file."""
        with self._writing:
            self._dropped = True
            if self._file is not None:
                os.close(self._file)
                self._file = None
                self._temporary.unlink(missing_ok=True)

    def _taken(self) -> list[bytes]:
        chunks, self._waiting, self._held = self._waiting, [], 0
        return chunks

    def _flush(self, chunks: Iterable[bytes], durable: bool = False) -> None:
        with self._writing:
            if self._dropped:
                return
            if self._file is None:
                self._file = _create(self._temporary)
            for chunk in chunks:
                self._sha256.update(chunk)
                self._md5.update(chunk)
                _write_all(self._file, chunk)
            if durable:
                os.fsync(self._file)

    def _keep(self) -> None:
        self._final.parent.mkdir(parents=True, exist_ok=True)
        self._temporary.rename(self._final)
        _make_durable(self._final.parent)


def _create(path: Path) -> int:
    """Only the owner may read what people sent."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _write_all(file: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(file, view) :]


def _make_durable(folder: Path) -> None:
    """A name is in its folder, which is a file too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")  # gone meanwhile
