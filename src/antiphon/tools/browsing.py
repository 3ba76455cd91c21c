"""What one response does on the web, and what its model was given of it.

Pages are opened whose address the model was given: by a search, by a page that it opened, or in the
conversation. So a page that gives orders cannot have it carry secrets into an address of its own making.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from antiphon.tools.citations import Sources
from antiphon.tools.context import Web
from antiphon.tools.web_links import Link
from antiphon.web.domains import address, admits
from antiphon.web.engine import Asked, EngineError, Found, FoundImage, Location
from antiphon.web.pages import Page, PageError

MOST_ACTIONS = 64
"""Searches and pages of one response: one that goes on for ever is told to stop."""

_URL = re.compile(r"https?://[^\s<>\"'`\[\]{}|\\^]{1,2000}")

_LONGEST = 2_000
_MOST_SEEN = 100_000
"""Addresses that are remembered of what the model was given."""

T = TypeVar("T")


class WebFailed(Exception):
    """In words for the model."""


class Scope(Struct, frozen=True, kw_only=True):
    """What a request grants."""

    project: str
    pages: int
    """Results of a search."""
    images: int = 0
    captions: bool = True
    allowed: Sequence[str] = ()
    blocked: Sequence[str] = ()
    location: Location = Location()
    room: int
    """Characters of one answer."""
    window: int
    """Characters of a part of a page."""


class Browsing:
    """It goes on through all turns of a response. `sources` is what the model can cite."""

    def __init__(self, web: Web, scope: Scope, sources: Sources) -> None:
        self.scope = scope
        self._web = web
        self._sources = sources
        self._links: dict[str, Link] = {}
        """The pages that can be cited, by their addresses."""
        self._numbers: dict[str, int] = {}
        self._seen: set[str] = set()
        """The addresses that the model was given."""
        self._unread: list[str] = []
        """Texts that it was given, whose addresses nobody has asked for yet."""
        self._actions = 0

    # ---- what the model was given ----

    def give(self, page: Link) -> int:
        """The model is given a page. Gives its number."""
        key = _key(page.url)
        if key not in self._numbers:
            self._numbers[key] = self._sources.add([page])
            self._links[key] = page
            self._seen.add(key)
        return self._numbers[key]

    def see(self, text: str) -> None:
        """The model reads a text: what addresses it has may be opened."""
        self._unread.append(text)

    def known(self, url: str) -> Link | None:
        """The page that can be cited by this address."""
        return self._links.get(_key(url))

    def number(self, url: str) -> int | None:
        """The number of a page that the model was given; None: it was not."""
        return self._numbers.get(_key(url))

    def address(self, wanted: str) -> str:
        """The address that a model means: it may name a page by its number."""
        wanted = wanted.strip().strip("<>")
        digits = wanted.strip("【】[]#")
        if digits.isascii() and digits.isdigit():
            numbered = {number: self._links[key].url for key, number in self._numbers.items()}
            return numbered.get(int(digits), wanted)
        return wanted if "://" in wanted or not wanted else f"https://{wanted}"

    # ---- what it does ----

    def act(self) -> WebFailed | None:
        """One action more; what it fails with when there were enough."""
        self._actions += 1
        if self._actions > MOST_ACTIONS:
            return WebFailed(f"There were {MOST_ACTIONS} searches already. Answer with what you have.")
        return None

    async def search(self, queries: Sequence[str]) -> Sequence[Found]:
        """What all of them find, the best of each first. Raises WebFailed."""
        found = await self._asked(self._web.searcher.pages, queries, self.scope.pages)
        once: dict[str, Found] = {}
        for page in found:
            once.setdefault(page.url, page)
        return list(once.values())[: self.scope.pages]

    async def images(self, queries: Sequence[str]) -> Sequence[FoundImage]:
        """Pictures, if the request wants some. Raises WebFailed."""
        wanted = self.scope.images
        return (await self._asked(self._web.searcher.images, queries, wanted))[:wanted] if wanted else ()

    async def open(self, url: str) -> Page:
        """Raises WebFailed."""
        self._check_domain(url)
        if self._web.seen_only and not await self._was_given(url):
            raise WebFailed("Only pages that a search has found can be opened. Search for it first.")
        try:
            page = await self._web.pages.open(self.scope.project, url)
        except PageError as fault:
            raise WebFailed(str(fault)) from fault
        self._check_domain(page.url)  # it may have led elsewhere
        self.see(page.text)
        return page

    async def _was_given(self, url: str) -> bool:
        if _key(url) not in self._seen:
            texts, self._unread = self._unread, []
            self._seen |= await asyncio.to_thread(_addresses, texts)
        return _key(url) in self._seen

    def _check_domain(self, url: str) -> None:
        if not admits(url, self.scope.allowed, self.scope.blocked):
            raise WebFailed("Pages of this domain may not be opened here.")

    async def _asked(
        self, ask: Callable[[Asked], Awaitable[Sequence[T]]], queries: Sequence[str], most: int
    ) -> Sequence[T]:
        scope = self.scope
        asked = Asked(
            text="", most=most, allowed=scope.allowed, blocked=scope.blocked, location=scope.location
        )
        try:
            found = await asyncio.gather(*(ask(replace(asked, text=query)) for query in queries))
        except EngineError as fault:
            raise WebFailed(str(fault)) from fault
        return [one for row in zip_longest(*found) for one in row if one is not None]


def _addresses(texts: Sequence[str]) -> set[str]:
    """Those in texts. Each is looked for by itself: a search over all of a long text would hold up all other
    threads."""
    found: set[str] = set()
    for text in texts:
        place = text.find("://")
        while place >= 0 and len(found) < _MOST_SEEN:
            url = _URL.search(text, max(0, place - len("https")), place + _LONGEST)
            if url is not None:
                found.add(_key(url[0]))
            place = text.find("://", max(place + 3, url.end() if url is not None else 0))
    return found


def _key(url: str) -> str:
    """A URL as it is compared."""
    url = url.partition("#")[0].rstrip(".,;:!?)*_~").rstrip("/")
    return address(url) or url
