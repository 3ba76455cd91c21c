"""Blobs in a folder, which several processes of one machine share.

Bytes come into a file of their own, which is made durable and then renamed.
"""

import asyncio
import errno
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from antiphon.store.blobs import PIECE, BlobsUnusable, GatheredBlob, checked, is_name

_INCOMING = "arriving"
"""The folder's name on disk, which older versions gave it."""


class FolderBlobs:
    """The blobs of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @asynccontextmanager
    async def incoming(self, name: str) -> AsyncIterator["IncomingFile"]:
        incoming = IncomingFile(self._folder / _INCOMING / name, self._path(name))
        try:
            yield incoming
        finally:
            incoming.drop()

    async def open(self, name: str) -> "OpenedFile":
        return await asyncio.to_thread(OpenedFile, self._path(name))

    async def has(self, name: str) -> bool:
        return await asyncio.to_thread(self._path(name).exists)

    async def read(self, name: str) -> bytes:
        return await asyncio.to_thread(self._path(name).read_bytes)

    @asynccontextmanager
    async def as_file(self, name: str) -> AsyncIterator[Path]:
        """The blob itself."""
        path = self._path(name)
        await asyncio.to_thread(path.stat)
        yield path

    async def duplicate(self, name: str, other: str) -> None:
        """No copy of the bytes, where the disk knows links."""
        await asyncio.to_thread(self._duplicate, self._path(name), self._path(other))

    async def remove(self, names: Iterable[str]) -> None:
        await asyncio.to_thread(self._remove, [self._path(name) for name in names])

    async def orphans(self, age: float) -> AsyncIterator[Collection[str]]:
        yield await asyncio.to_thread(self._older, time.time() - age)

    async def check(self) -> None:
        try:
            await asyncio.to_thread(self._check)
        except OSError as error:
            raise BlobsUnusable(f"{self._folder} cannot be written: {error.strerror}.") from error

    async def reach(self) -> None:
        await asyncio.to_thread(self._check)

    def _check(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(self._folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def _path(self, name: str) -> Path:
        return self._folder / name[-2:].lower() / checked(name)

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
        return [path.name for path in old if path.parent.name != _INCOMING and is_name(path.name)]


class IncomingFile(GatheredBlob):
    """A blob that is being written."""

    def __init__(self, temporary: Path, final: Path) -> None:
        super().__init__(final.name)
        self._temporary = temporary
        self._final = final
        self._file: int | None = None
        self._writing = threading.Lock()
        self._dropped = False

    async def keep(self) -> None:
        await asyncio.to_thread(self._keep)

    def drop(self) -> None:
        """Waits for a write that is under way, which takes a moment, and lets go of the file."""
        with self._writing:
            self._dropped = True
            if self._file is not None:
                os.close(self._file)
                self._file = None
                self._temporary.unlink(missing_ok=True)

    async def _put(self, chunks: Sequence[bytes]) -> None:
        await asyncio.to_thread(self._write, chunks)

    async def _settle(self) -> None:
        await asyncio.to_thread(self._sync)

    def _write(self, chunks: Sequence[bytes]) -> None:
        with self._writing:
            if self._dropped:
                return
            if self._file is None:
                self._file = _create(self._temporary)
            self._hash(chunks)
            for chunk in chunks:
                _write_all(self._file, chunk)

    def _sync(self) -> None:
        with self._writing:
            if self._file is not None:
                os.fsync(self._file)

    def _keep(self) -> None:
        self._final.parent.mkdir(parents=True, exist_ok=True)
        self._temporary.rename(self._final)
        _make_durable(self._final.parent)


class OpenedFile:
    """It is closed when nobody has it any more, also where nobody ever read it."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self._handle).st_size

    async def pieces(self) -> AsyncIterator[bytes]:
        while piece := await asyncio.to_thread(os.read, self._handle, PIECE):
            yield piece

    def __del__(self) -> None:
        if hasattr(self, "_handle"):
            os.close(self._handle)


def _create(path: Path) -> int:
    """Only the owner may read what people sent. A copy that was killed may have left a beginning."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)


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
