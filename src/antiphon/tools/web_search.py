"""`web_search`: a search on the web, run by the server.

There is no search engine yet: calls fail in words (`unserved`). With `external_web_access: false` the tool
may only search what the server keeps of the web. This server keeps nothing, so there is nothing that the
model could call: Codex sends it so with every request.
"""

from collections.abc import Sequence

from antiphon.model import Function, Message
from antiphon.protocol.hosted_items import WebSearchCall
from antiphon.protocol.tools import WebSearchTool
from antiphon.stream.machine import Machine
from antiphon.tools.base import Executor, OpenCall, Tool, ToolContext
from antiphon.tools.messages import answered, called
from antiphon.tools.unsupported import WEB_SEARCH, UnsupportedTool


def resolve(tool: WebSearchTool, context: ToolContext) -> Tool:
    return (
        CachedWebSearch() if tool.external_web_access is False else UnsupportedTool(WEB_SEARCH, tool, context)
    )


class CachedWebSearch:
    """A `web_search` tool without access to the web: a search in an empty cache."""

    def functions(self) -> Sequence[Function]:
        return ()

    def executor(self, name: str) -> Executor:
        return "server"

    def buffers(self, name: str) -> bool:
        return False

    def check(self, name: str, arguments: str) -> str | None:
        return None

    def open(self, machine: Machine, name: str, call_id: str) -> OpenCall:
        raise NotImplementedError("it has no function that could be called")


def call_to_messages(item: WebSearchCall) -> Sequence[Message]:
    """The answer that the model then wrote has what it found; the call tells what it looked for."""
    call_id = item.id or ""
    return (called(call_id, "web_search", item.action or {}), answered(call_id, item.status or "completed"))
