"""What can be set of the tools that run here: one class for each table of `[tools]`.

Pure data: nothing is read or built here.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct


class McpSettings(Struct, frozen=True, kw_only=True):
    """`[tools.mcp]`: what an MCP server may take."""

    call_seconds: Annotated[float, Meta(gt=0)] = 60.0
    """Seconds that a call may go on without an answer or a progress notification."""
    total_seconds: Annotated[float, Meta(gt=0)] = 600.0
    """Seconds that a call may go on at all."""
    list_seconds: Annotated[float, Meta(gt=0)] = 20.0
    """Seconds that connecting and listing the tools may take."""
    result_bytes: Annotated[int, Meta(ge=1024)] = 4 * 1024 * 1024
    """The largest answer of a server."""
    result_values: Annotated[int, Meta(ge=1000)] = 30_000
    """JSON values (members and elements) of the largest answer, or of the longest listing."""
    connections: Annotated[int, Meta(ge=1)] = 100
    """How many connections are kept."""
    idle_seconds: Annotated[float, Meta(gt=0)] = 120.0
    """Seconds for which a connection is kept that nobody uses."""
    cache_seconds: Annotated[float, Meta(ge=0)] = 60.0
    """Seconds for which a listing is remembered."""


class FileSearchSettings(Struct, frozen=True, kw_only=True):
    """`[tools.file_search]`: vector stores, and what a search in them may take."""

    all_files: bool = True
    """Take files of every kind into vector stores from which text can be read, such as csv and xlsx. If not,
    only those that the real API takes; others are refused at once."""
    cache_bytes: Annotated[int, Meta(ge=0)] = 512 * 1024 * 1024
    """Memory of each server process for vectors of stores that are searched: those used last. A store of
    100,000 chunks has some 130 MB. Of one that is larger than this a sixth is held, and each search reads
    what it needs of the rest from the database."""
    stores: Annotated[int, Meta(ge=1)] = 16
    """Vector stores that one request may search. The real API allows 2."""
    seconds: Annotated[float, Meta(gt=0)] = 30.0
    """Seconds that a search may take; a response whose search takes longer fails with the code
    `vector_store_timeout`."""
    rewrite_model: str | None = None
    """The model that puts the question of a search into better words where `rewrite_query` asks for it. None:
    the name under which the default backend answers, or the first of its `models`; where it has neither,
    such a search is refused."""
    rewrite_seconds: Annotated[float, Meta(gt=0)] = 10.0
    """Seconds that it may take; then the question is searched as it is."""


SEARCH_ENGINES: Final[dict[str, str | None]] = {
    "searxng": None,
    "brave": "BRAVE_API_KEY",
    "tavily": "TAVILY_API_KEY",
    "exa": "EXA_API_KEY",
    "serper": "SERPER_API_KEY",
    "duckduckgo": None,
}
"""Each with the variable that its key is read from, if it needs one."""


class WebSearchSettings(Struct, frozen=True, kw_only=True):
    """`[tools.web_search]`: what searches the web. Nothing set: nothing is searched, and nothing leaves this
    machine."""

    engine: str | list[str] = ""
    """`searxng`, `brave`, `tavily`, `exa`, `serper`, `duckduckgo`, or `mcp:NAME` for a server of
    [mcp_servers.NAME] or [connectors.NAME] that has a tool for it. Of several, the next one is asked when one
    fails or finds nothing."""
    url: str | None = None
    """Where SearXNG is, for example `http://127.0.0.1:8888`; its settings must name `json` in
    `search.formats`."""
    api_key_env: str | None = None
    """The environment variable that holds the key of the first engine that needs one; none: the usual one,
    such as `BRAVE_API_KEY`."""
    open_any: bool = False
    """Let models open every public page, and not only those that a search, an opened page or the conversation
    has named. A page that gives a model orders could then have it send what it knows to any address."""

    @property
    def engines(self) -> list[str]:
        """The engines, in their order."""
        return [self.engine] if isinstance(self.engine, str) and self.engine else list(self.engine)


class Tools(Struct, frozen=True, kw_only=True):
    """`[tools.TYPE]`: the tools that run here."""

    mcp: McpSettings = McpSettings()
    file_search: FileSearchSettings = FileSearchSettings()
    web_search: WebSearchSettings = WebSearchSettings()
