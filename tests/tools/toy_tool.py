"""A hosted tool, as small as one can be that does all that one may: it works on the server, emits how far it
is, annotates what the model writes next, and is gone on with after a crash.

It looks things up on a shelf: a socket on which a test sits. It takes the place of `web_search_preview`,
whose types on the wire it uses. This file and `ROW` are all of it.
"""

import asyncio
import json
import os
import re
from collections.abc import Sequence
from functools import partial

from antiphon.model import Function, Message, TextPart
from antiphon.protocol import events
from antiphon.protocol.content import UrlCitation
from antiphon.protocol.hosted_items import Search, UrlSource, WebSearchCall
from antiphon.protocol.item import Item
from antiphon.protocol.tools import WebSearchPreviewTool
from antiphon.stream.filters import Annotated, Filtered
from antiphon.stream.items import open_item
from antiphon.stream.machine import Machine
from antiphon.tools.base import ServerCall, Tool, ToolResult, Write
from antiphon.tools.context import ToolContext
from antiphon.tools.emitter import Emitter
from antiphon.tools.messages import answered, called
from antiphon.tools.partial import decode
from antiphon.tools.registry import ToolRow

NAME = "look_up"
SOCKET = "TOY_SHELF"
"""The environment variable that names the socket."""


class LookUp(Tool):
    """The tool, in one response: it knows what it gave to the model."""

    executor = "server"

    def __init__(self, tool: WebSearchPreviewTool, context: ToolContext) -> None:
        self.given: list[str] = []

    def functions(self) -> Sequence[Function]:
        query = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
        return (Function(NAME, "Looks something up.", query),)

    def call(self, name: str, call_id: str) -> "LookUpCall":
        return LookUpCall(self, name, call_id)

    def remember(self, item: Item) -> None:
        if isinstance(item, WebSearchCall) and isinstance(item.action, Search):
            self.given += [source.url for source in item.action.sources or ()]

    def filter(self) -> "Marks | None":
        return Marks(self.given) if self.given else None


class LookUpCall(ServerCall):
    def __init__(self, tool: LookUp, name: str, call_id: str) -> None:
        super().__init__(name, call_id)
        self._tool = tool

    def begin(self, machine: Machine) -> Write | None:
        item = WebSearchCall(id=machine.new_id("web_search_call"), status="in_progress", action=Search())
        self.item = open_item(machine, item)
        return None

    async def run(self, emit: Emitter) -> ToolResult:
        asked = decode(self.arguments)
        query = "" if isinstance(asked, str) else str(asked.get("query", ""))
        await emit(events.WebSearchInProgress)
        await emit(events.WebSearchSearching)
        url = await _look_up(query)
        if url is None:
            await emit.done(status="failed", action=Search(query=query))
            return ToolResult((TextPart("Nothing is there."),))
        self._tool.given.append(url)
        await emit(events.WebSearchCompleted)
        await emit.done(status="completed", action=Search(query=query, sources=[UrlSource(url=url)]))
        return ToolResult((TextPart(f"[{len(self._tool.given)}] {url}"),))


async def _look_up(query: str) -> str | None:
    reader, writer = await asyncio.open_unix_connection(os.environ[SOCKET])
    try:
        writer.write(json.dumps(query).encode() + b"\n")
        found: str | None = json.loads(await reader.readline())
    finally:
        writer.close()
    return found


class Marks:
    """Marks such as `[1]` stand for what was given under that number. They are cut, and annotated."""

    def __init__(self, given: Sequence[str]) -> None:
        self._given = given
        self._held = ""

    def feed(self, text: str) -> Sequence[Filtered]:
        text = self._held + text
        found: list[Filtered] = []
        end = 0
        for mark in re.finditer(r"\[(\d+)\]", text):
            found.append(text[end : mark.start()])
            end = mark.end()
            if 0 < int(mark[1]) <= len(self._given):
                found.append(Annotated("", partial(_citation, self._given[int(mark[1]) - 1])))
        begun = re.search(r"\[\d*$", text[end:])
        self._held = begun[0] if begun else ""
        return [*found, text[end : len(text) - len(self._held)]]

    def end(self) -> Sequence[Filtered]:
        held, self._held = self._held, ""
        return [held]


def _citation(url: str, start: int, end: int) -> UrlCitation:
    return UrlCitation(url=url, title=url, start_index=start, end_index=end)


def call_to_messages(item: WebSearchCall) -> Sequence[Message]:
    call_id, action = item.id or "", item.action if isinstance(item.action, Search) else Search()
    urls = [source.url for source in action.sources or ()]
    call = called(call_id, NAME, {"query": action.query or ""})
    return (call, answered(call_id, "\n".join(urls) or f"[{item.status}]"))


ROW = ToolRow((WebSearchPreviewTool,), LookUp, reads={"web_search_call": call_to_messages})
