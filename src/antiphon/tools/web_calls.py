"""The calls of `web_search`: a search, and a page that is opened or looked through. Each is one item."""

import re
from collections.abc import Sequence
from typing import Any

from antiphon.model import TextPart
from antiphon.protocol import events
from antiphon.protocol.hosted_items import (
    FindInPage,
    ImageResult,
    OpenPage,
    Search,
    UrlSource,
    WebSearchCall,
)
from antiphon.stream.items import open_item
from antiphon.stream.machine import Machine
from antiphon.tools.base import ServerCall, ToolResult, Write
from antiphon.tools.browsing import Browsing, WebFailed
from antiphon.tools.emitter import Emitter
from antiphon.tools.partial import decode
from antiphon.tools.web_links import Link
from antiphon.tools.web_text import Numbered, part_of, places_in, results
from antiphon.web.engine import Found, FoundImage
from antiphon.web.pages import Page

MOST_QUERIES = 4
"""Of one search."""
_PART = re.compile("[0-9]{1,9}")
_LONGEST = 1_000
"""Characters of a question, or of words to find."""


class WebCall(ServerCall):
    """How both begin. `kind`: of the action, which has nothing in it until the call is whole."""

    kind: type[Search | OpenPage]

    def __init__(self, browsing: Browsing, name: str, call_id: str) -> None:
        super().__init__(name, call_id)
        self._browsing = browsing

    def begin(self, machine: Machine) -> Write | None:
        item = WebSearchCall(id=machine.new_id("web_search_call"), status="in_progress", action=self.kind())
        self.item = open_item(machine, item)
        return None

    async def _failed(
        self, emit: Emitter, fault: WebFailed, action: Search | OpenPage | FindInPage
    ) -> ToolResult:
        await emit.done(status="failed", action=action)
        return ToolResult((TextPart(f"Error: {fault}"),))


class SearchCall(WebCall):
    """A search."""

    kind = Search

    async def run(self, emit: Emitter) -> ToolResult:
        enough = self._browsing.act()
        queries = _queries(decode(self.arguments))
        action = Search(query=queries[0], queries=queries) if queries else Search()
        await emit(events.WebSearchInProgress)
        await emit(events.WebSearchSearching)
        try:
            if enough is not None:
                raise enough
            if not queries:
                raise WebFailed('It takes what to look for: {"query": "..."}')
            pages = await self._browsing.search(queries)
            images = await self._browsing.images(queries)
        except WebFailed as fault:
            return await self._failed(emit, fault, action)
        action.sources = [UrlSource(url=page.url) for page in pages]
        await emit(events.WebSearchCompleted)
        await emit.done(status="completed", action=action, results=self._shown(images))
        return ToolResult((TextPart(self._given(pages, images)),))

    def _given(self, pages: Sequence[Found], images: Sequence[FoundImage]) -> str:
        give = self._browsing.give
        numbered = [Numbered(give(Link(page.url, page.title)), page) for page in pages]
        return results(numbered, images, self._browsing.scope.room)

    def _shown(self, images: Sequence[FoundImage]) -> list[ImageResult] | None:
        """None: the request wants no pictures."""
        scope = self._browsing.scope
        return [_result(image, scope.captions) for image in images] if scope.images else None


class PageCall(WebCall):
    """A page that is opened, or in which something is looked for."""

    kind = OpenPage

    async def run(self, emit: Emitter) -> ToolResult:
        enough = self._browsing.act()
        asked = decode(self.arguments)
        url = self._browsing.address(_text_of(asked, "url", "link", "id"))
        pattern = _member(asked, "find") or _member(asked, "pattern")
        action = FindInPage(url=url, pattern=pattern) if pattern else OpenPage(url=url or None)
        await emit(events.WebSearchInProgress)
        await emit(events.WebSearchSearching)
        try:
            if enough is not None:
                raise enough
            if not url:
                raise WebFailed('It takes the address of a page: {"url": "https://..."}')
            page = await self._browsing.open(url)
        except WebFailed as fault:
            return await self._failed(emit, fault, action)
        await emit(events.WebSearchCompleted)
        await emit.done(status="completed", action=action)
        return ToolResult((TextPart(self._given(page, pattern, asked)),))

    def _given(self, page: Page, pattern: str, asked: dict[str, Any] | str) -> str:
        number = self._browsing.give(Link(page.url, page.title))
        if pattern:
            return places_in(page, number, pattern)
        part = str(asked.get("part")) if isinstance(asked, dict) else ""
        which = int(part) if _PART.fullmatch(part) else 1
        return part_of(page, number, which, self._browsing.scope.window)


def _text_of(asked: dict[str, Any] | str, *names: str) -> str:
    """What a model asks for. Small ones give it another name."""
    return next(iter(_texts(asked, *names)), "")


def _queries(asked: dict[str, Any] | str) -> list[str]:
    return list(dict.fromkeys(_texts(asked, "queries", "query", "q")))[:MOST_QUERIES]


def _texts(asked: dict[str, Any] | str, *names: str) -> list[str]:
    """The texts under the first of these names that has any, else under any name."""
    members = asked if isinstance(asked, dict) else {}
    for value in (*(members.get(name) for name in names), *members.values()):
        texts = value if isinstance(value, list) else [value]
        found = [text.strip()[:_LONGEST] for text in texts if isinstance(text, str) and text.strip()]
        if found:
            return found
    return []


def _member(asked: dict[str, Any] | str, name: str) -> str:
    value = asked.get(name) if isinstance(asked, dict) else None
    return value.strip()[:_LONGEST] if isinstance(value, str) else ""


def _result(image: FoundImage, captions: bool) -> ImageResult:
    return ImageResult(
        image_url=image.image_url,
        thumbnail_url=image.thumbnail_url or None,
        source_website_url=image.website_url or None,
        caption=(image.caption or None) if captions else None,
    )
