"""Looks again and again at what a sandbox uses, and says when that is too much.

The kernel bounds a process, or a group of them where this server may make one. It bounds neither the files of
a sandbox nor, without a group, the memory of all its processes together.
"""

import asyncio
import os
import threading
import time
from pathlib import Path

from antiphon.sandbox.base import Limits
from antiphon.sandbox.files import DEEPEST, TooDeep, walk
from antiphon.sandbox.outside import Outside

BUSY = 0.1
"""Seconds between looks while something runs."""
IDLE = 1.0
_SHARE = 4
"""A look is followed by so many times its own length at least."""
_FILE = 1024
"""Bytes that a file or a folder counts besides its content."""
_OFTEN = 1024
"""Files between two looks at whether it is too much already."""


class Watch:
    """Of one sandbox."""

    def __init__(self, folder: Path, outside: Outside, limits: Limits, *, memory: bool) -> None:
        """`folder` is all that the sandbox has on disk; `memory`: whether nobody else bounds it."""
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._outside = outside
        self._limits = limits
        self._memory = memory
        self._used = 0
        self._added = 0
        self._busy = 0
        self._wake = asyncio.Event()
        self._looking = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Nobody looks any more when this returns."""
        with self._looking:
            self._closed = True
            os.close(self._folder)
            self._outside.close()

    def __enter__(self) -> None:
        """Something runs."""
        self._busy += 1
        self._wake.set()

    def __exit__(self, *_: object) -> None:
        self._busy -= 1

    def add(self, size: int) -> bool:
        """Whether there is room for so many more bytes of files; if so they are counted."""
        if self._used + self._added + size > self._limits.disk_bytes:
            return False
        self._added += size
        return True

    async def until_too_much(self) -> str:
        """Which limit is passed, in words, as soon as one is."""
        while True:
            began = time.monotonic()
            if (why := await asyncio.to_thread(self._look)) is not None:
                return why
            await self._pause(time.monotonic() - began)

    async def _pause(self, took: float) -> None:
        pause = _SHARE * took + (BUSY if self._busy else IDLE)
        self._wake.clear()
        if self._busy:
            await asyncio.sleep(pause)
        else:
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                return

    def _look(self) -> str | None:
        with self._looking:
            if self._closed:
                return None
            try:
                return self._look_at_files() or (self._look_at_memory() if self._memory else None)
            except OSError as error:
                return f"It could not be seen any more what it uses: {error.strerror}."

    def _look_at_files(self) -> str | None:
        added = self._added
        limit = self._limits.disk_bytes
        used = self._outside.folders_in_memory() + self._outside.deleted()
        try:
            for count, found in enumerate(walk(self._folder, strict=True)):
                used += max(found.status.st_size, found.status.st_blocks * 512) + _FILE
                if used > limit and count % _OFTEN == 0:
                    break
        except TooDeep:
            return f"It had more than {DEEPEST} folders within each other."
        if used > limit:
            return f"Its files came to more than {limit >> 20} MiB."
        self._used, self._added = used, self._added - added
        return None

    def _look_at_memory(self) -> str | None:
        limit = self._limits.memory_bytes
        shared = self._outside.folders_in_memory()
        used = self._outside.memory(limit - shared) + shared
        return f"Its processes used more than {limit >> 20} MiB of memory." if used > limit else None
