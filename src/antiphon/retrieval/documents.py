"""From documents to text, and to pictures of pages that have none."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections import OrderedDict

import msgspec

from antiphon.retrieval.extract import MISSING, Found, Images, Job, Page
from antiphon.retrieval.kinds import TEXT, document_type, text_of

AT_ONCE = 2
CACHE_BYTES = 32 * 2**20
# All that the child is to know of our surroundings.
_ENVIRONMENT = ("PATH", "PYTHONPATH", "TMPDIR", "LANG", "SYSTEMROOT")

__all__ = ["Documents", "Found", "Page", "Unreadable", "Unsupported"]


class Unreadable(Exception):
    """No text can be taken from a document; the message says why."""


class Unsupported(Unreadable):
    """It is of a kind that we do not read."""


class Documents:
    """Reads documents. What was read is remembered by its content, in memory alone: whoever deletes a file
    need not ask where else it was written down."""

    def __init__(self, seconds: float = 60.0, max_images: int = 20) -> None:
        """`seconds`: how long a document may take; `max_images`: of how many pages there are pictures."""
        self._seconds = seconds
        self.max_images = max_images
        self._cache = _Cache(CACHE_BYTES)
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def read(
        self, data: bytes, filename: str = "", media_type: str = "", images: Images = "none"
    ) -> Found:
        """Raises Unreadable."""
        kind = document_type(data, filename, media_type)
        if kind is None:
            raise Unsupported("files of this type cannot be read as text")
        if kind == TEXT:
            return Found(text_of(data) or "")
        digest = await asyncio.to_thread(hashlib.sha256, data)
        key = (digest.digest(), kind, images)
        found = self._cache.get(key)
        if found is None:
            async with self._turns:
                found = await asyncio.to_thread(self._extract, data, Job(kind, images, self.max_images))
            self._cache.put(key, found)
        return found

    def _extract(self, data: bytes, job: Job) -> Found:
        try:
            child = subprocess.run(
                [sys.executable, "-P", "-m", "antiphon.retrieval.extract"],
                input=msgspec.json.encode(job) + b"\n" + data,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=self._seconds,
                env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise Unreadable(f"it took longer than {self._seconds:g} seconds") from None
        if child.returncode == MISSING:
            raise Unreadable("this server has no library for documents: install 'kreuzberg' beside it")
        if child.returncode != 0:
            raise Unreadable("it could not be read")
        found = msgspec.msgpack.decode(child.stdout, type=Found)
        if found.fault:
            raise Unreadable(f"it could not be read ({found.fault})")
        return found


class _Cache:
    """The newest of what was found, up to so many bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._found: OrderedDict[object, Found] = OrderedDict()

    def get(self, key: object) -> Found | None:
        found = self._found.get(key)
        if found is not None:
            self._found.move_to_end(key)
        return found

    def put(self, key: object, found: Found) -> None:
        size = _size(found)
        if size > self._limit or key in self._found:
            return
        self._found[key] = found
        self._held += size
        while self._held > self._limit:
            self._held -= _size(self._found.popitem(last=False)[1])


def _size(found: Found) -> int:
    pages = sum(len(page.text) + len(page.image or b"") for page in found.pages)
    return 1024 + 2 * len(found.text) + pages
