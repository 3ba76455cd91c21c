"""Searches: one engine after the other is asked, until one has an answer."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import structlog
from msgspec.structs import replace

from antiphon.web.domains import address, admits
from antiphon.web.engine import Asked, Engine, EngineError, Found, FoundImage

MORE = 2
"""So many times as many results are asked for as are wanted, when some may have to be left out."""

_LOOKED_AT = 500
"""Results of one answer."""
_TITLE = 300
_TEXT = 10_000
"""Characters of a page that an engine shows."""

T = TypeVar("T")

log = structlog.get_logger()


class Searcher:
    """The engines of this server, the first choice first."""

    def __init__(self, engines: Sequence[Engine]) -> None:
        self._engines = engines

    async def pages(self, asked: Asked) -> Sequence[Found]:
        """What is found, each page once and none of a domain that may not be found. Raises EngineError when
        no engine answers."""
        found = await self._first(self._engines, lambda engine: engine.pages(_wide(asked)))
        good = filter(None, map(_page, found[:_LOOKED_AT]))
        return _some(good, asked, lambda page: page.url, lambda page: page.url)

    async def images(self, asked: Asked) -> Sequence[FoundImage]:
        """The same for pictures."""
        engines = [engine for engine in self._engines if engine.finds_images]
        found = await self._first(engines, lambda engine: engine.images(_wide(asked)))
        good = filter(None, map(_image, found[:_LOOKED_AT]))
        return _some(good, asked, lambda one: one.image_url, lambda one: one.website_url or one.image_url)

    async def close(self) -> None:
        await asyncio.gather(*(engine.close() for engine in self._engines))

    async def _first(
        self, engines: Sequence[Engine], ask: Callable[[Engine], Awaitable[Sequence[T]]]
    ) -> Sequence[T]:
        """The answer of the first that has results."""
        faults: list[str] = []
        answered = False
        for engine in engines:
            try:
                if found := await ask(engine):
                    return found
                answered = True
            except EngineError as fault:
                log.warning("search engine failed", engine=engine.name, reason=str(fault))
                faults.append(str(fault))
        if answered:
            return ()
        raise EngineError(" ".join(faults) or "No search engine of this server looks for that.")


def _wide(asked: Asked) -> Asked:
    """More than is wanted, where some may be left out."""
    return replace(asked, most=asked.most * MORE) if asked.allowed or asked.blocked else asked


def line(text: str) -> str:
    """What strangers call a page, in one line."""
    return " ".join(text[: 4 * _TITLE].split())[:_TITLE]


def _page(found: Found) -> Found | None:
    """As it may be shown; None: it is nowhere."""
    url = address(found.url)
    return None if url is None else Found(url=url, title=line(found.title), text=found.text[:_TEXT])


def _image(found: FoundImage) -> FoundImage | None:
    url = address(found.image_url)
    if url is None:
        return None
    return FoundImage(
        image_url=url,
        thumbnail_url=address(found.thumbnail_url) or "",
        website_url=address(found.website_url) or "",
        caption=line(found.caption),
    )


def _some(found: Iterable[T], asked: Asked, key: Callable[[T], str], page: Callable[[T], str]) -> Sequence[T]:
    once: dict[str, T] = {}
    for one in found:
        if admits(page(one), asked.allowed, asked.blocked):
            once.setdefault(key(one), one)
    return list(once.values())[: asked.most]
