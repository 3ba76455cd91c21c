"""Blobs: runs of bytes, each under a name of ours. What homes of them offer.

What has a name is whole: whoever dies in the middle leaves at most bytes that no row knows, for `orphans` to
find. Nothing here holds more than a few megabytes at a time, but for `read`.
"""

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from msgspec import Struct

CHUNK = 1024 * 1024
"""Bytes that are gathered before they are written."""
PIECE = 256 * 1024
"""Bytes that are read at a time."""
is_name = re.compile(r"[A-Za-z]+[-_][A-Za-z0-9]+").fullmatch


class Blob(Struct, frozen=True):
    """What has come in."""

    size: int
    sha256: bytes
    md5: str


class IncomingBlob(Protocol):
    """A blob that is being written."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int:
        """Bytes that were written so far."""

    async def write(self, chunk: bytes) -> None: ...

    async def finish(self) -> Blob:
        """Everything is there, and durable."""

    async def keep(self) -> None:
        """What was finished has its name now, and stays."""


class OpenedBlob(Protocol):
    """A blob that is read, whole even where somebody removes it meanwhile."""

    @property
    def size(self) -> int: ...

    def pieces(self) -> AsyncIterator[bytes]:
        """The bytes, a piece at a time; once."""


class BlobsUnusable(Exception):
    """Blobs cannot be kept where the configuration says; the message says why."""


class Blobs(Protocol):
    """A home of blobs, which several processes may share."""

    def incoming(self, name: str) -> AbstractAsyncContextManager[IncomingBlob]:
        """Takes bytes in. Unless `keep` was called, nothing is left of them when the block is."""

    async def open(self, name: str) -> OpenedBlob:
        """Raises FileNotFoundError."""

    async def has(self, name: str) -> bool: ...

    async def read(self, name: str) -> bytes:
        """Raises FileNotFoundError."""

    def as_file(self, name: str) -> AbstractAsyncContextManager[Path]:
        """The blob for who needs a path, which is there as long as the block, and is not to be written.
        Raises FileNotFoundError."""

    async def duplicate(self, name: str, other: str) -> None:
        """The same bytes under another name as well. Raises FileNotFoundError."""

    async def remove(self, names: Iterable[str]) -> None:
        """Blobs that are not there are gone already."""

    def orphans(self, age: float) -> AsyncIterator[Collection[str]]:
        """The names of all blobs that have lain here for `age` seconds, some at a time: of those nobody
        knows, whoever sent them is gone. What has not come in whole in that time, and is not coming still, is
        removed."""

    async def check(self) -> None:
        """For a start: reads and writes. Raises BlobsUnusable, which says in words what is missing."""

    async def reach(self) -> None:
        """Costs little. Raises whatever keeps us from them."""


class GatheredBlob(ABC):
    """An `IncomingBlob` whose chunks are gathered, so that they are written and hashed a megabyte at a
    time."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.size = 0
        self._waiting: list[bytes] = []
        self._held = 0
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)

    async def write(self, chunk: bytes) -> None:
        self._waiting.append(chunk)
        self._held += len(chunk)
        self.size += len(chunk)
        if self._held >= CHUNK:
            await self._put(self._taken())

    async def finish(self) -> Blob:
        await self._put(self._taken())
        await self._settle()
        return Blob(self.size, self._sha256.digest(), self._md5.hexdigest())

    @abstractmethod
    async def keep(self) -> None: ...

    @abstractmethod
    async def _put(self, chunks: Sequence[bytes]) -> None:
        """Hash and write these."""

    @abstractmethod
    async def _settle(self) -> None:
        """All that was put is durable, as far as that is possible without a name."""

    def _hash(self, chunks: Iterable[bytes]) -> None:
        """In a thread."""
        for chunk in chunks:
            self._sha256.update(chunk)
            self._md5.update(chunk)

    def _taken(self) -> Sequence[bytes]:
        chunks, self._waiting, self._held = self._waiting, [], 0
        return chunks


def checked(name: str) -> str:
    """Raises ValueError for what is no name of a blob, such as one that leads elsewhere."""
    if not is_name(name):
        raise ValueError(f"not the name of a blob: {name!r}")
    return name


async def pieces(blobs: Blobs, name: str) -> AsyncIterator[bytes]:
    """The bytes of a blob, a piece at a time. Raises FileNotFoundError."""
    opened = await blobs.open(name)
    async for piece in opened.pieces():
        yield piece
