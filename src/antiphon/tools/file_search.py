"""`file_search`: searches in vector stores, run by the server.

The model says what to look for, and nothing else: the request has said in which stores, by which filters, and
how many results there may be. It reads them numbered, and cites them by their numbers (`citations`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import structlog
from msgspec.structs import replace

from antiphon.model import Function, Message, TextPart
from antiphon.protocol import events
from antiphon.protocol.content import FileCitation
from antiphon.protocol.errors import InvalidRequest, NotFound, SearchTimeout
from antiphon.protocol.hosted_items import FileSearchCall, FileSearchResult
from antiphon.protocol.item import Item
from antiphon.protocol.tools import FileSearchTool, HybridSearch, RankingOptions
from antiphon.retrieval.embedder import EmbedderError
from antiphon.retrieval.filters import FilterTooLarge
from antiphon.retrieval.finder import Finder, FinderError, Found, NoSuchStore, Query, WrongEmbedder
from antiphon.stream.filters import TextFilter
from antiphon.stream.items import open_item
from antiphon.stream.machine import Machine
from antiphon.tools.base import ServerCall, Tool, ToolResult, Write
from antiphon.tools.citations import Citations, mark, unmarked
from antiphon.tools.context import ToolContext
from antiphon.tools.emitter import Emitter
from antiphon.tools.messages import answered, called
from antiphon.tools.partial import decode
from antiphon.tools.search_filters import search_filter
from antiphon.tools.unsupported import UnavailableTool

NAME = "file_search"
MOST_QUERIES = 4
"""Of one call."""
MOST_RESULTS = 20
"""Where the request does not say how many."""

_LONGEST_QUERY = 4_000
"""Characters that are looked at."""
_PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "queries": {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "maxItems": MOST_QUERIES,
            "description": "What to look for: 1 to 4 questions or phrases",
        }
    },
    "required": ["queries"],
}
_SHARE = 2
"""Characters of results for each token of the model's window: about half of it."""
_ROOM = 200_000
"""Characters of results for a model whose window is not known."""
_UNAVAILABLE = "this server cannot search files: `pip install 'antiphon[retrieval]'` installs what it needs"
_NOTHING = "Nothing was found. Search again in other words, or say that the files do not have it."

log = structlog.get_logger()


class FileSource(NamedTuple):
    """A file that can be cited."""

    file_id: str
    filename: str
    shown: str = ""

    def cited(self, start: int, end: int) -> FileCitation:
        return FileCitation(file_id=self.file_id, filename=self.filename, index=start)


class SearchFailed(Exception):
    """In words for the model."""


def resolve(tool: FileSearchTool, context: ToolContext) -> Tool:
    """Raises InvalidRequest."""
    finder = context.resources.finder
    return UnavailableTool(_UNAVAILABLE) if finder is None else FileSearch(tool, context, finder)


class FileSearch(Tool):
    """The tool, in one response: it knows what it gave to the model."""

    executor = "server"

    def __init__(self, tool: FileSearchTool, context: ToolContext, finder: Finder) -> None:
        self.sources = context.sources
        self._finder = finder
        self._project = context.project
        self._stores = list(dict.fromkeys(tool.vector_store_ids))
        self._seconds = context.resources.file_search.seconds
        self._room = _ROOM if context.window is None else context.window * _SHARE
        self._numbered: dict[str, int] = {}
        """The first number of each item of the context, by its id."""
        _refuse_many(self._stores, context)
        self._query = _query(tool, context)

    async def check(self) -> None:
        try:
            await self._finder.check(self._project, self._stores)
        except NoSuchStore as fault:
            raise NotFound(str(fault)) from fault
        except FinderError as fault:
            code = "wrong_embedder" if isinstance(fault, WrongEmbedder) else None
            raise InvalidRequest(str(fault), code=code) from fault

    def functions(self) -> Sequence[Function]:
        return (Function(NAME, "Searches the user's files.", dict(_PARAMETERS)),)

    def call(self, name: str, call_id: str) -> "SearchCall":
        return SearchCall(self, name, call_id)

    def remember(self, item: Item) -> None:
        if isinstance(item, FileSearchCall) and item.results and item.id not in self._numbered:
            self._numbered[item.id or ""] = self.sources.add([_source(result) for result in item.results])

    def read(self, item: Item) -> Sequence[Message] | None:
        first = self._numbered.get(item.id or "")
        if not isinstance(item, FileSearchCall) or first is None:
            return None
        return _messages(item, _listed(item.results or (), first, self._room))

    def filter(self) -> TextFilter | None:
        return Citations(self.sources) if len(self.sources) else None

    def give(self, results: Sequence[FileSearchResult]) -> str:
        """Results, as the model reads them."""
        if not results:
            return _NOTHING
        return _listed(results, self.sources.add([_source(result) for result in results]), self._room)

    async def search(self, queries: Sequence[str]) -> list[FileSearchResult]:
        """Raises SearchFailed; TimeoutError when the stores do not answer in time."""
        if not queries:
            raise SearchFailed('It takes 1 to 4 queries: {"queries": ["..."]}')
        try:
            async with asyncio.timeout(self._seconds):
                found = await self._finder.find(
                    self._project, self._stores, replace(self._query, texts=queries)
                )
        except (FinderError, EmbedderError) as fault:
            raise SearchFailed(str(fault)) from fault
        except TimeoutError:
            raise
        except Exception as fault:
            log.exception("search failed")
            raise SearchFailed("The search failed.") from fault
        return [_result(one) for one in found]

    def too_slow(self) -> SearchTimeout:
        """Ends the response, as on the real API: a search that hangs would hang again."""
        words = f"The search took longer than {self._seconds:g} seconds ([tools.file_search] seconds)."
        return SearchTimeout(words)


class SearchCall(ServerCall):
    """A search."""

    def __init__(self, tool: FileSearch, name: str, call_id: str) -> None:
        super().__init__(name, call_id)
        self._tool = tool

    def begin(self, machine: Machine) -> Write | None:
        item = FileSearchCall(id=machine.new_id("file_search_call"), status="in_progress", queries=[])
        self.item = open_item(machine, item)
        return None

    async def run(self, emit: Emitter) -> ToolResult:
        queries = _queries(decode(self.arguments))
        await emit(events.FileSearchInProgress)
        await emit(events.FileSearchSearching)
        try:
            results = await self._tool.search(queries)
        except SearchFailed as fault:
            await emit.done(status="failed", queries=queries)
            return ToolResult((TextPart(f"Error: the search failed. {fault}"),))
        except TimeoutError:
            await emit.done(status="failed", queries=queries)
            raise self._tool.too_slow() from None
        await emit(events.FileSearchCompleted)
        await emit.done(status="completed", queries=queries, results=results)
        return ToolResult((TextPart(self._tool.give(results)),))


# ---- what is asked for ------------------------------------------------------------------------------


def _refuse_many(stores: Sequence[str], context: ToolContext) -> None:
    """In the real API's words (behaviours.md section 6)."""
    most = context.resources.file_search.stores
    if len(stores) > most:
        raise InvalidRequest(
            f"Invalid input: maximum of {most} vector stores allowed. "
            "`stores` of [tools.file_search] is how many this server allows.",
            param="tools",
            code="integer_above_max_value",
        )


def _query(tool: FileSearchTool, context: ToolContext) -> Query:
    """What the request says of every search. Raises InvalidRequest."""
    options = tool.ranking_options or RankingOptions()
    weights = options.hybrid_search
    if weights is not None:
        _check_weights(weights, context)
    try:
        filters = search_filter(tool.filters) if tool.filters is not None else None
    except FilterTooLarge as fault:
        raise InvalidRequest(str(fault), param=f"{context.place}.filters") from fault
    return Query(
        texts=(),
        filters=filters,
        most=tool.max_num_results or MOST_RESULTS,
        threshold=options.score_threshold or 0.0,
        embedding_weight=weights.embedding_weight if weights else None,
        text_weight=weights.text_weight if weights else None,
    )


def _check_weights(weights: HybridSearch, context: ToolContext) -> None:
    both = (weights.embedding_weight, weights.text_weight)
    if min(both) < 0 or max(both) <= 0:
        raise InvalidRequest(
            "The weights of a hybrid search cannot be negative, and one of them must be above 0.",
            param=f"{context.place}.ranking_options.hybrid_search",
        )


def _queries(asked: dict[str, Any] | str) -> list[str]:
    """What a model looks for. Small ones write one text where a list is due, or give it another name."""
    members = asked if isinstance(asked, dict) else {}
    for given in (members.get("queries"), members.get("query"), list(members.values())):
        texts = given if isinstance(given, list) else [given]
        wanted = [text.strip()[:_LONGEST_QUERY] for text in texts if isinstance(text, str)]
        if any(wanted):
            return list(dict.fromkeys(filter(None, wanted)))[:MOST_QUERIES]
    return []


# ---- what is found ----------------------------------------------------------------------------------


def _result(found: Found) -> FileSearchResult:
    return FileSearchResult(
        attributes=dict(found.attributes),
        file_id=found.file_id,
        filename=found.filename,
        score=found.score,
        text=found.text,
        vector_store_id=found.store_id,
    )


def _source(result: FileSearchResult) -> FileSource:
    return FileSource(result.file_id or "", result.filename or "")


def _shown(result: FileSearchResult) -> str:
    return f"{result.filename or ''}\n{result.text or ''}"


def _listed(results: Sequence[FileSearchResult], first: int, room: int) -> str:
    """Results from a number on, the best of them, as far as they fit into so many characters."""
    parts: list[str] = []
    for number, result in enumerate(results, first):
        part = f"{mark(number)} {unmarked(_shown(result))}"[:room]
        room -= len(part)
        if parts and room < 0:
            break
        parts.append(part)
    how = f"Behind all that you take from a part, write its mark, as {mark(first)}."
    return "\n\n".join([*parts, how])


# ---- past items -------------------------------------------------------------------------------------


def call_to_messages(item: FileSearchCall) -> Sequence[Message]:
    """Where the tool is not there: nobody would cut its marks."""
    if item.results is None:
        return _messages(item, _OUTCOMES.get(item.status or "", "Its results are not known any more."))
    return _messages(item, "\n\n".join(map(_shown, item.results)) or _NOTHING)


_OUTCOMES = {"failed": "Error: the search failed.", "incomplete": "Error: the search was interrupted."}


def _messages(item: FileSearchCall, output: str) -> Sequence[Message]:
    call_id = item.id or ""
    return (called(call_id, NAME, {"queries": item.queries}), answered(call_id, output))
