"""DuckDuckGo, which needs no key. The library `ddgs` reads its pages, in threads of its own."""

import asyncio
from collections.abc import Sequence
from typing import Any

from antiphon.web.domains import operators
from antiphon.web.engine import Asked, Engine, EngineError, Found, FoundImage

SECONDS = 10
_AT_ONCE = 4
"""Searches; it does not like more."""


class DuckDuckGo(Engine):
    """The engine. Make it within an event loop."""

    name = "duckduckgo"

    def __init__(self) -> None:
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def pages(self, asked: Asked) -> Sequence[Found]:
        return [
            Found(url=str(one["href"]), title=str(one.get("title", "")), text=str(one.get("body", "")))
            for one in await self._asked("text", asked)
            if one.get("href")
        ]

    async def images(self, asked: Asked) -> Sequence[FoundImage]:
        return [
            FoundImage(
                image_url=str(one["image"]),
                thumbnail_url=str(one.get("thumbnail", "")),
                website_url=str(one.get("url", "")),
                caption=str(one.get("title", "")),
            )
            for one in await self._asked("images", asked)
            if one.get("image")
        ]

    async def _asked(self, category: str, asked: Asked) -> list[dict[str, Any]]:
        async with self._slots:
            return await asyncio.to_thread(_search, category, asked)


def _search(category: str, asked: Asked) -> list[dict[str, Any]]:
    try:
        from ddgs import DDGS
    except ImportError:
        raise EngineError("duckduckgo needs `pip install 'antiphon[web]'`.") from None
    try:
        found: list[dict[str, Any]] = getattr(DDGS(timeout=SECONDS), category)(
            operators(asked.text, asked.allowed, asked.blocked),
            backend="duckduckgo",
            max_results=asked.most,
            **({"region": region} if (region := _region(asked.location.country)) else {}),
        )
    except Exception as fault:  # noqa: BLE001 (it reads pages that change, and faults are of any kind)
        raise EngineError(f"duckduckgo did not answer: {str(fault)[:200]}") from None
    return found


# The countries of which DuckDuckGo has a region in a language; elsewhere its default stands.
_COUNTRIES = {
    "es": "ar cl co es mx pe",
    "de": "at ch de",
    "en": "au ca ie in nz sg us za",
    "nl": "be nl",
    "pt": "br pt",
    "zh": "cn",
    "cs": "cz",
    "da": "dk",
    "et": "ee",
    "fi": "fi",
    "fr": "fr",
    "el": "gr",
    "hu": "hu",
    "he": "il",
    "it": "it",
    "kr": "kr",
    "lt": "lt",
    "lv": "lv",
    "no": "no",
    "pl": "pl",
    "ro": "ro",
    "ru": "ru",
    "sv": "se",
    "th": "th",
    "tr": "tr",
    "uk": "ua",
}
_REGIONS = {code: f"{code}-{language}" for language, codes in _COUNTRIES.items() for code in codes.split()}
_REGIONS |= {"gb": "uk-en", "jp": "jp-jp"}


def _region(country: str | None) -> str | None:
    return _REGIONS.get((country or "").lower())
