"""From documents to text, and to pictures of pages that have none."""

import asyncio
import hashlib
from typing import Any

import msgspec
from msgspec.structs import replace

from antiphon.guard.pool import Limits, Overrun, Pool
from antiphon.retrieval.extract import TOO_LONG, Found, Images, Page
from antiphon.retrieval.kinds import TEXT, document_type, text_of
from antiphon.retrieval.remembered import Remembered

AT_ONCE = 3
"""Documents that are read at the same time; one project's are fewer."""
SECONDS = 15.0
"""Of processor time, for the text of a document, and as much for its pictures."""
MAX_MEMORY = 2 * 2**30
CACHE_BYTES = 32 * 2**20

__all__ = ["Documents", "Found", "Page", "Unreadable", "Unsupported"]


class Unreadable(Exception):
    """No text can be taken from a document; the message says why."""


class Unsupported(Unreadable):
    """It is of a kind that we do not read."""


class Documents:
    """Reads documents, each in a child process of its own. What was read is remembered."""

    def __init__(self, seconds: float = SECONDS, max_images: int = 20) -> None:
        """`seconds`: how long a document may take; `max_images`: of how many pages there are pictures."""
        self._seconds = seconds
        self.max_images = max_images
        self._cache = Remembered[Found](CACHE_BYTES, _size)
        self._pool = Pool(Limits(children=AT_ONCE, seconds=seconds, memory=MAX_MEMORY, calls=1))

    async def read(
        self, data: bytes, filename: str = "", media_type: str = "", images: Images = "none", owner: str = ""
    ) -> Found:
        """`owner`: whose document it is; each has a share of the children. Raises Unreadable."""
        kind = await asyncio.to_thread(document_type, data, filename, media_type)
        if kind is None:
            raise Unsupported("files of this type cannot be read as text")
        if kind == TEXT:
            text: str | None = await asyncio.to_thread(text_of, data)
            return Found(text or "")
        digest = await asyncio.to_thread(hashlib.sha256, data)
        key = (digest.digest(), kind, images)
        found = self._cache.get(key)
        if found is None:
            found = await self._text(data, kind, owner)
            if images != "none":
                found = await self._illustrated(found, data, images, owner)
            self._cache.put(key, found)
        return found

    async def _text(self, data: bytes, kind: str, owner: str) -> Found:
        try:
            found = msgspec.convert(await self._call(owner, "text_of_document", data, kind), Found)
        except Overrun:
            raise Unreadable(
                f"it took longer than {self._seconds:g} seconds, or more memory than there is for one"
            ) from None
        if found.fault == TOO_LONG:
            raise Unreadable(TOO_LONG)
        if found.fault:
            raise Unreadable(f"it could not be read ({found.fault})")
        return found

    async def _illustrated(self, found: Found, data: bytes, images: Images, owner: str) -> Found:
        """With pictures of the pages that are wanted. Those that cannot be made within the limits are
        missing."""
        wanted = [page.number for page in found.pages if images == "all" or not page.text]
        numbers = wanted[: self.max_images]
        if not numbers:
            return found
        try:
            made = await self._call(owner, "pictures_of_pages", data, numbers, self._seconds / 2)
        except Overrun:
            return found
        pictures = msgspec.convert(dict(made), dict[int, bytes])
        pages = (replace(page, image=pictures.get(page.number)) for page in found.pages)
        return replace(found, pages=tuple(pages))

    async def _call(self, owner: str, function: str, *arguments: object) -> Any:
        return await self._pool.call(f"antiphon.retrieval.extract:{function}", *arguments, owner=owner)


def _size(found: Found) -> int:
    pages = sum(len(page.text) + len(page.image or b"") for page in found.pages)
    return 1024 + 2 * len(found.text) + pages
