"""`web_search`: searches on the web, and pages of it, run by the server.

The model says what to look for, and which page to open; the request has said which domains it may see, and
how much it is given. What it may open is in `browsing`.
"""

from collections.abc import Iterator, Sequence

from antiphon.model import Function, Message
from antiphon.protocol.content import InputText, OutputText, UrlCitation
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.hosted_items import OpenPage, Search, UrlSource, WebSearchCall
from antiphon.protocol.item import Item
from antiphon.protocol.items import AssistantMessage, InputMessage
from antiphon.protocol.tools import UserLocation, WebSearchPreviewTool, WebSearchTool
from antiphon.stream.filters import Filters, TextFilter
from antiphon.tools.base import Tool, ToolCall
from antiphon.tools.browsing import Browsing, Scope
from antiphon.tools.citations import Citations
from antiphon.tools.context import ToolContext, Web
from antiphon.tools.messages import answered, called
from antiphon.tools.unsupported import UnavailableTool
from antiphon.tools.web_calls import PageCall, SearchCall
from antiphon.tools.web_links import Link, WebLinks
from antiphon.tools.web_text import listed_again
from antiphon.web.domains import address, normal
from antiphon.web.engine import Location

SEARCH = "web_search"
OPEN = "open_page"
RESULTS = {"low": 3, "medium": 5, "high": 10}
"""Of a search, by `search_context_size`."""
IMAGES = 5
"""Of a search for pictures, where the request does not say."""

_LONGEST = 120
"""Characters of a query, as the model is told. A small one that is held to it ends, and does not go on until
its answer is full."""
_ROOM = 60_000
"""Characters of one answer for a model whose window is not known, or is large."""
_SMALL = 12_000
"""Characters of a part of a page, unless `return_token_budget` is `unlimited`."""
_UNAVAILABLE = (
    "no search engine is set up on this server: `antiphon serve --web-search duckduckgo`, or engine of "
    "[tools.web_search]"
)


def resolve(tool: WebSearchTool | WebSearchPreviewTool, context: ToolContext) -> Tool:
    """Raises InvalidRequest."""
    web = context.resources.web
    return UnavailableTool(_UNAVAILABLE) if web is None else WebSearch(tool, context, web)


class WebSearch(Tool):
    """The tool, in one response."""

    executor = "server"

    def __init__(self, tool: WebSearchTool | WebSearchPreviewTool, context: ToolContext, web: Web) -> None:
        self._sources = context.sources
        self._opens = not isinstance(tool, WebSearchTool) or tool.external_web_access is not False
        self._browsing = Browsing(web, _scope(tool, context), context.sources)

    def functions(self) -> Sequence[Function]:
        text = {"type": "string"}
        about = f"Searches the web.{_where(self._browsing.scope.location)}"
        query = text | {"maxLength": _LONGEST}
        asked = {"type": "object", "properties": {"query": query}, "required": ["query"]}
        search = Function(SEARCH, about, asked)
        if not self._opens:
            return (search,)
        properties = {
            "url": text,
            "find": text | {"description": "Words to find in it"},
            "part": {"type": "integer", "description": "Which part of a long page, from 1"},
        }
        opened = {"type": "object", "properties": properties, "required": ["url"]}
        return (search, Function(OPEN, "Opens a web page that a search has found.", opened))

    def call(self, name: str, call_id: str) -> ToolCall:
        return (SearchCall if name == SEARCH else PageCall)(self._browsing, name, call_id)

    def remember(self, item: Item) -> None:
        if isinstance(item, InputMessage):
            for part in item.content:
                if isinstance(part, InputText):
                    self._browsing.see(part.text)
        elif isinstance(item, AssistantMessage):
            for url in _cited(item):
                self._browsing.see(url)
        elif isinstance(item, WebSearchCall):
            for url in _addresses(item):
                self._browsing.give(Link(url, ""))

    def read(self, item: Item) -> Sequence[Message] | None:
        """Its sources stand under the numbers that they have in this response. The prompt of another response
        has some that were never given here: a diagnosis of its cache reads it with this one's tools."""
        if not isinstance(item, WebSearchCall) or not isinstance(item.action, Search):
            return None
        found = ((self._browsing.number(url), url) for url in _addresses(item))
        numbered = [(number, url) for number, url in found if number is not None]
        return _messages(item, listed_again(numbered)) if numbered else None

    def filter(self) -> TextFilter | None:
        if not len(self._sources):
            return None
        return Filters([Citations(self._sources), WebLinks(self._browsing.known)])


# ---- what is asked for ------------------------------------------------------------------------------


def _scope(tool: WebSearchTool | WebSearchPreviewTool, context: ToolContext) -> Scope:
    """What the request grants; the preview knows less of it. Raises InvalidRequest."""
    full = tool if isinstance(tool, WebSearchTool) else WebSearchTool()
    filters, images = full.filters, full.image_settings
    wants_images = "image" in (tool.search_content_types or ())
    room = min(_ROOM, context.window) if context.window else _ROOM
    return Scope(
        project=context.project,
        pages=RESULTS[tool.search_context_size or "medium"],
        images=((images and images.max_results) or IMAGES) if wants_images else 0,
        captions=images is None or images.caption is not False,
        allowed=_domains((filters and filters.allowed_domains) or (), "allowed_domains", context),
        blocked=_domains((filters and filters.blocked_domains) or (), "blocked_domains", context),
        location=_location(tool.user_location),
        room=room,
        window=room if full.return_token_budget == "unlimited" else min(_SMALL, room),
    )


def _domains(names: Sequence[str], member: str, context: ToolContext) -> Sequence[str]:
    """Raises InvalidRequest for what is no domain."""
    found = []
    for index, name in enumerate(names):
        domain = normal(name)
        if domain is None:
            raise InvalidRequest(
                f"Invalid domain '{name[:100]}'. Domains are named without scheme, port and path, such as "
                "'example.com'.",
                param=f"{context.place}.filters.{member}[{index}]",
                code="invalid_value",
            )
        found.append(domain)
    return found


def _location(given: UserLocation | None) -> Location:
    """Where nothing is said, the real API takes the United States; here nothing is assumed."""
    if given is None:
        return Location()
    return Location(country=given.country, city=given.city, region=given.region, timezone=given.timezone)


def _where(place: Location) -> str:
    named = ", ".join(filter(None, (place.city, place.region, place.country)))
    if named:
        return f" The user is in {named}" + (f" ({place.timezone})." if place.timezone else ".")
    return f" The user's time zone is {place.timezone}." if place.timezone else ""


def _cited(item: AssistantMessage) -> Iterator[str]:
    """The pages that an answer names as its sources. What else it says does not count: a page may have had
    the model say an address of its making, for the next turn to open."""
    for part in item.content:
        if isinstance(part, OutputText):
            yield from (each.url for each in part.annotations if isinstance(each, UrlCitation))


# ---- past items -------------------------------------------------------------------------------------


def call_to_messages(item: WebSearchCall) -> Sequence[Message]:
    """Where the tool is not there. The answer that the model then wrote has what it found."""
    found = _addresses(item) if isinstance(item.action, Search) else []
    return _messages(item, "\n".join((item.status or "completed", *found)))


def _addresses(item: WebSearchCall) -> list[str]:
    """What a call has found or opened. One that failed may have been for an address of the model's making."""
    if item.status not in (None, "completed"):
        return []
    action = item.action
    if isinstance(action, Search):
        named = [each.url for each in action.sources or () if isinstance(each, UrlSource)]
    else:
        named = [action.url] if action is not None and action.url else []
    return [url for url in map(address, named) if url is not None]


def _messages(item: WebSearchCall, output: str) -> Sequence[Message]:
    call_id, action = item.id or "", item.action
    if action is None or isinstance(action, Search):
        query = (action and (action.query or " ".join(action.queries or ()))) or ""
        return (called(call_id, SEARCH, {"query": query}), answered(call_id, output))
    find = {} if isinstance(action, OpenPage) else {"find": action.pattern}
    return (called(call_id, OPEN, {"url": action.url or "", **find}), answered(call_id, output))
