"""Pages of the web, as text: fetched, read, and remembered for a while.

What is remembered is in memory alone, for each project apart: so a page that is opened in windows, or looked
through, is fetched once, and nothing of it is left when the server ends.
"""

from collections.abc import Awaitable, Callable
from urllib.parse import urldefrag

import msgspec
from msgspec import Struct

from antiphon.guard.pool import Limits, Overrun, Pool
from antiphon.guard.turns import Turns
from antiphon.web.fetch import Fetched, Fetcher, Unfetchable
from antiphon.web.reading import MOST_CHARACTERS, Read
from antiphon.web.recent import Recent

SECONDS = 10.0
"""Of processor time, for the text of a page."""
_MEMORY = 2**30
_AT_ONCE = 2
_OPENED_AT_ONCE = 8
"""Pages, each of which is in memory while it is fetched and read. Models may ask for many in one turn."""
CACHE_SECONDS = 900.0
CACHE_CHARACTERS = 32_000_000
_HTML = ("text/html", "application/xhtml+xml")


class PageError(Exception):
    """A page cannot be read; the message says why."""


ReadDocument = Callable[[str, Fetched], Awaitable[str]]
"""Gives the text of what is linked to and is no page, such as a PDF, for a project. Raises PageError."""


class Page(Struct, frozen=True):
    """A page, as it was read."""

    url: str
    """Where it was in the end, behind all redirects."""
    title: str
    text: str


class Pages:
    """Opens pages. Make it, and close it, within an event loop. The fetcher is its own, and remembers
    nothing: what one project has opened is not given to another."""

    def __init__(self, fetcher: Fetcher, read_document: ReadDocument) -> None:
        self._fetcher = fetcher
        self._read_document = read_document
        self._recent = Recent[tuple[str, str], Page](
            CACHE_CHARACTERS, CACHE_SECONDS, lambda page: len(page.text)
        )
        self._turns = Turns(_OPENED_AT_ONCE)
        self._pool = Pool(Limits(children=_AT_ONCE, seconds=SECONDS, memory=_MEMORY))

    async def open(self, project: str, url: str) -> Page:
        """Raises PageError."""
        url = urldefrag(url).url
        page = self._recent.get((project, url))
        if page is None:
            async with self._turns.turn(project):
                page = await self._read(project, url)
            self._recent.put((project, url), page)
        return page

    async def close(self) -> None:
        await self._pool.close()
        await self._fetcher.close()

    async def _read(self, project: str, url: str) -> Page:
        try:
            fetched = await self._fetcher.fetch(url)
        except Unfetchable as fault:
            raise PageError(f"The page could not be fetched: {fault}.") from None
        read = await self._text(project, url, fetched)
        if not read.text.strip():
            raise PageError("The page has no text.")
        return Page(fetched.url or url, read.title.strip() or fetched.filename, read.text)

    async def _text(self, project: str, url: str, fetched: Fetched) -> Read:
        if fetched.media_type not in _HTML:
            text = await self._read_document(project, fetched)
            return Read(text=text[:MOST_CHARACTERS])
        try:
            found = await self._pool.call(
                "antiphon.web.reading:text_of_page", fetched.data, url, owner=project
            )
        except Overrun:
            raise PageError("It takes too long to read the page.") from None
        except ValueError:
            raise PageError("The page could not be read.") from None
        return msgspec.convert(found, Read)
