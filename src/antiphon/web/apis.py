"""Search engines that answer in JSON over HTTP: what each is asked, and where its answer has what.

An engine is a row. What is read is read leniently: a result without a URL is left out, and any other member
may be missing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from antiphon.web.domains import operators
from antiphon.web.engine import Asked, Found, FoundImage

_SNIPPET = 600
"""Characters of a page that engines are asked for, where they can be asked."""


@dataclass(frozen=True)
class Question:
    """A request, without what all requests of an engine have."""

    path: str
    query: Mapping[str, str] | None = None
    """Of a GET."""
    body: Mapping[str, Any] | None = None
    """Of a POST, as JSON."""


@dataclass(frozen=True)
class SearchApi:
    """A row."""

    name: str
    url: str | None
    """Where it is; None: the configuration says so."""
    key_variable: str | None
    """The environment variable that usually holds its key; None: it needs none."""
    key_header: tuple[str, str]
    """The header that carries the key, and what stands in front of it there."""
    pages: Callable[[Asked], Question]
    found: Callable[[Any], Iterator[Found]]
    images: Callable[[Asked], Question] | None = None
    found_images: Callable[[Any], Iterator[FoundImage]] | None = None


def _entries(answer: Any, *path: str) -> Iterator[dict[str, Any]]:
    """The objects in the list at a path of an answer."""
    for member in path:
        answer = answer.get(member) if isinstance(answer, dict) else None
    yield from (
        (entry for entry in answer or () if isinstance(entry, dict)) if isinstance(answer, list) else ()
    )


def _text(entry: Mapping[str, Any], *names: str) -> str:
    """The first of these members that is a text; a list of texts is one."""
    for name in names:
        value = entry.get(name)
        if isinstance(value, list):
            value = " … ".join(part for part in value if isinstance(part, str))
        if isinstance(value, str) and value:
            return value
    return ""


def _pages(*path: str, url: str, text: tuple[str, ...]) -> Callable[[Any], Iterator[Found]]:
    def found(answer: Any) -> Iterator[Found]:
        for entry in _entries(answer, *path):
            yield Found(url=_text(entry, url), title=_text(entry, "title"), text=_text(entry, *text))

    return found


# ---- SearXNG ----------------------------------------------------------------------------------------


def _searxng(category: str) -> Callable[[Asked], Question]:
    def ask(asked: Asked) -> Question:
        text = operators(asked.text, asked.allowed, asked.blocked)
        return Question("/search", {"q": text, "format": "json", "categories": category})

    return ask


def _searxng_images(answer: Any) -> Iterator[FoundImage]:
    for entry in _entries(answer, "results"):
        yield FoundImage(
            image_url=_text(entry, "img_src"),
            thumbnail_url=_text(entry, "thumbnail_src", "thumbnail"),
            website_url=_text(entry, "url"),
            caption=_text(entry, "title", "content"),
        )


# ---- Brave ------------------------------------------------------------------------------------------


def _brave(path: str) -> Callable[[Asked], Question]:
    def ask(asked: Asked) -> Question:
        text = operators(asked.text, asked.allowed, asked.blocked)
        query = {"q": text, "count": str(min(20, asked.most))}
        if asked.location.country:
            query["country"] = asked.location.country.upper()
        return Question(path, query)

    return ask


def _brave_images(answer: Any) -> Iterator[FoundImage]:
    for entry in _entries(answer, "results"):
        picture, small = entry.get("properties"), entry.get("thumbnail")
        yield FoundImage(
            image_url=_text(picture if isinstance(picture, dict) else {}, "url"),
            thumbnail_url=_text(small if isinstance(small, dict) else {}, "src"),
            website_url=_text(entry, "url"),
            caption=_text(entry, "title"),
        )


# ---- Tavily -----------------------------------------------------------------------------------------


def _tavily(asked: Asked) -> Question:
    body = {
        "query": asked.text,
        "max_results": min(20, asked.most),
        "include_domains": list(asked.allowed),
        "exclude_domains": list(asked.blocked),
    }
    return Question("/search", body=body)


def _tavily_for_images(asked: Asked) -> Question:
    asking = _tavily(asked)
    return Question(asking.path, body={**(asking.body or {}), "include_images": True})


def _tavily_images(answer: Any) -> Iterator[FoundImage]:
    found = answer.get("images") if isinstance(answer, dict) else None
    for entry in found if isinstance(found, list) else ():
        if isinstance(entry, str):
            yield FoundImage(image_url=entry)
        elif isinstance(entry, dict):
            yield FoundImage(image_url=_text(entry, "url"), caption=_text(entry, "description"))


# ---- Exa --------------------------------------------------------------------------------------------


def _exa(asked: Asked) -> Question:
    body: dict[str, Any] = {
        "query": asked.text,
        "numResults": min(100, asked.most),
        "contents": {"text": {"maxCharacters": _SNIPPET}},
    }
    if asked.allowed:
        body["includeDomains"] = list(asked.allowed)
    if asked.blocked:
        body["excludeDomains"] = list(asked.blocked)
    if asked.location.country:
        body["userLocation"] = asked.location.country.upper()
    return Question("/search", body=body)


def _exa_images(answer: Any) -> Iterator[FoundImage]:
    for entry in _entries(answer, "results"):
        website, caption = _text(entry, "url"), _text(entry, "title")
        yield FoundImage(image_url=_text(entry, "image"), website_url=website, caption=caption)


# ---- Serper -----------------------------------------------------------------------------------------


def _serper(path: str) -> Callable[[Asked], Question]:
    def ask(asked: Asked) -> Question:
        place = asked.location
        named = ", ".join(filter(None, (place.city, place.region)))
        body = {"q": operators(asked.text, asked.allowed, asked.blocked), "num": asked.most}
        if place.country:
            body["gl"] = place.country.lower()
        if named:
            body["location"] = named
        return Question(path, body=body)

    return ask


def _serper_images(answer: Any) -> Iterator[FoundImage]:
    for entry in _entries(answer, "images"):
        yield FoundImage(
            image_url=_text(entry, "imageUrl"),
            thumbnail_url=_text(entry, "thumbnailUrl"),
            website_url=_text(entry, "link"),
            caption=_text(entry, "title"),
        )


APIS: Mapping[str, SearchApi] = {
    api.name: api
    for api in (
        SearchApi(
            "searxng",
            None,
            None,
            ("Authorization", "Bearer "),
            _searxng("general"),
            _pages("results", url="url", text=("content",)),
            _searxng("images"),
            _searxng_images,
        ),
        SearchApi(
            "brave",
            "https://api.search.brave.com/res/v1",
            "BRAVE_API_KEY",
            ("X-Subscription-Token", ""),
            _brave("/web/search"),
            _pages("web", "results", url="url", text=("description",)),
            _brave("/images/search"),
            _brave_images,
        ),
        SearchApi(
            "tavily",
            "https://api.tavily.com",
            "TAVILY_API_KEY",
            ("Authorization", "Bearer "),
            _tavily,
            _pages("results", url="url", text=("content",)),
            _tavily_for_images,
            _tavily_images,
        ),
        SearchApi(
            "exa",
            "https://api.exa.ai",
            "EXA_API_KEY",
            ("x-api-key", ""),
            _exa,
            _pages("results", url="url", text=("text", "highlights", "summary")),
            _exa,
            _exa_images,
        ),
        SearchApi(
            "serper",
            "https://google.serper.dev",
            "SERPER_API_KEY",
            ("X-API-KEY", ""),
            _serper("/search"),
            _pages("organic", url="link", text=("snippet",)),
            _serper("/images"),
            _serper_images,
        ),
    )
}
