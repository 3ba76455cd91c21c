"""An MCP server as a search engine: one that is configured, and has a tool that searches."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from antiphon.mcp.base import Address, Listed, McpError
from antiphon.mcp.pool import Pool
from antiphon.web.domains import operators
from antiphon.web.engine import Asked, Engine, EngineError, Found

_QUESTION = ("query", "q", "search_query", "queries", "text", "input")
"""How such tools call what is looked for."""
_COUNT = ("max_results", "count", "num_results", "numResults", "limit", "num")
_URL = ("url", "link", "href", "uri")
_TEXT = ("snippet", "description", "content", "text", "body", "summary")
_BLOCK = re.compile(r"\n\s*\n|\n(?=\d+[.)] )")
_ADDRESS = re.compile(r"https?://[^\s<>\"'\])}]+")
_TITLE = re.compile(r"^(?:\d{1,9}[.)]\s*)?(?:title:|\*\*)?\s*(\S.*)$", re.IGNORECASE | re.MULTILINE)
_MOST_TEXT = 500_000
"""Characters of what a tool says that are read."""


class McpEngine(Engine):
    """A server, by its name in the configuration."""

    finds_images = False

    def __init__(self, name: str, address: Address, pool: Pool) -> None:
        self.name = f"mcp:{name}"
        self._address = address
        self._pool = pool

    async def pages(self, asked: Asked) -> Sequence[Found]:
        try:
            tool = _searching(await self._pool.list("", self._address))
            if tool is None:
                raise EngineError(f"{self.name} has no tool with 'search' in its name.")
            result = await self._pool.call("", self._address, tool.name, _arguments(tool, asked))
        except McpError as fault:
            raise EngineError(f"{self.name} did not answer: {fault}") from None
        texts = [block["text"] for block in result.content if isinstance(block.get("text"), str)]
        if result.failed:
            raise EngineError(f"{self.name} refused the search: {' '.join(texts)[:200]}")
        return [found for text in texts for found in found_in(text)]


def found_in(text: str) -> Iterator[Found]:
    """Results in what a tool says: JSON of any shape, or paragraphs with an address each."""
    text = text[:_MOST_TEXT]
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        yield from _in_paragraphs(text)
    else:
        yield from _in_json(value)


def _in_paragraphs(text: str) -> Iterator[Found]:
    for block in _BLOCK.split(text):
        if address := _ADDRESS.search(block):
            title = _TITLE.search(block.replace(address[0], ""))
            yield Found(
                url=address[0].rstrip(".,;:"), title=title[1].rstrip("*") if title else "", text=block
            )


def _in_json(value: Any) -> Iterator[Found]:
    waiting = [value]
    for value in waiting:
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            url = _first(value, _URL)
            if url.startswith("http"):
                yield Found(url=url, title=_first(value, ("title", "name")), text=_first(value, _TEXT))
            else:
                waiting += value.values()


def _first(entry: dict[str, Any], names: Sequence[str]) -> str:
    return next((entry[name] for name in names if isinstance(entry.get(name), str)), "")


def _searching(tools: Sequence[Listed]) -> Listed | None:
    """The tool that searches the web, by its name."""
    named = [tool for tool in tools if "search" in tool.name]
    return min(named, key=lambda tool: "web" not in tool.name, default=None)


def _arguments(tool: Listed, asked: Asked) -> dict[str, Any]:
    schema = tool.input_schema if isinstance(tool.input_schema, dict) else {}
    known = schema.get("properties") or {}
    text = operators(asked.text, asked.allowed, asked.blocked)
    name = next((name for name in _QUESTION if name in known), "query")
    is_list = isinstance(known.get(name), dict) and known[name].get("type") == "array"
    count = next(({name: asked.most} for name in _COUNT if name in known), {})
    return {name: [text] if is_list else text, **count}
