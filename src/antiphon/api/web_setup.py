"""The web, as the configuration has it searched."""

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec

from antiphon.api.surroundings import reachable
from antiphon.config import SEARCH_ENGINES, Outbound, WebSearchSettings
from antiphon.context.linked import reader
from antiphon.mcp.base import Address
from antiphon.mcp.pool import Pool
from antiphon.retrieval.documents import Documents
from antiphon.tools.context import Web
from antiphon.tools.mcp_engine import McpEngine
from antiphon.web.apis import APIS
from antiphon.web.duckduckgo import DuckDuckGo
from antiphon.web.engine import Engine
from antiphon.web.fetch import Fetcher
from antiphon.web.pages import Pages
from antiphon.web.searcher import Searcher


def web_of(
    settings: WebSearchSettings,
    outbound: Outbound,
    documents: Documents,
    pool: Pool,
    servers: Mapping[str, Address],
) -> Web | None:
    """None: no engine is set up."""
    engines = list(_engines(settings, pool, servers))
    if not engines:
        return None
    fetcher = Fetcher(reachable(outbound), outbound.max_bytes, outbound.seconds, cache_bytes=0)
    return Web(
        searcher=Searcher(engines), pages=Pages(fetcher, reader(documents)), seen_only=not settings.open_any
    )


def key_variables(settings: WebSearchSettings) -> dict[str, str]:
    """The variables that keys are read from, by their engines."""
    found: dict[str, str] = {}
    for name in settings.engines:
        if usual := SEARCH_ENGINES.get(name):
            found[name] = (settings.api_key_env or usual) if not found else usual
    return found


def missing(settings: WebSearchSettings) -> str | None:
    """What must be installed first, in words; None: all is there."""
    needed = ["trafilatura", "ddgs"] if DuckDuckGo.name in settings.engines else ["trafilatura"]
    lacking = [name for name in needed if find_spec(name) is None]
    if not settings.engines or not lacking:
        return None
    return f"Searching the web needs {' and '.join(lacking)}: `pip install 'antiphon[web]'`."


def _engines(settings: WebSearchSettings, pool: Pool, servers: Mapping[str, Address]) -> Iterator[Engine]:
    variables = key_variables(settings)
    for name in settings.engines:
        if name == DuckDuckGo.name:
            yield DuckDuckGo()
        elif name.startswith("mcp:"):
            server = name.removeprefix("mcp:")
            yield McpEngine(server, servers[server], pool)
        else:
            from antiphon.web.json_engine import JsonEngine

            url = settings.url if APIS[name].url is None else None
            yield JsonEngine(APIS[name], url, os.environ.get(variables.get(name, ""), "").strip())
