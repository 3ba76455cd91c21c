"""`web_search`: a search on the web, run by the server.

There is no search engine yet: calls fail in words (`unsupported`). With `external_web_access: false` the tool
may only search what the server keeps of the web. This server keeps nothing, so there is nothing that the
model could call: Codex sends it so with every request.
"""

from collections.abc import Sequence

from antiphon.model import Function, Message
from antiphon.protocol.hosted_items import WebSearchCall
from antiphon.protocol.tools import WebSearchPreviewTool, WebSearchTool
from antiphon.tools.base import Tool, ToolCall
from antiphon.tools.context import ToolContext
from antiphon.tools.messages import answered, called
from antiphon.tools.unsupported import WEB_SEARCH, UnsupportedTool


def resolve(tool: WebSearchTool | WebSearchPreviewTool, context: ToolContext) -> Tool:
    """The preview has no such member: it is never held to a cache."""
    cached = isinstance(tool, WebSearchTool) and tool.external_web_access is False
    return CachedWebSearch() if cached else UnsupportedTool(WEB_SEARCH, tool, context)


class CachedWebSearch(Tool):
    """A `web_search` tool without access to the web: a search in an empty cache."""

    executor = "server"

    def functions(self) -> Sequence[Function]:
        return ()

    def call(self, name: str, call_id: str) -> ToolCall:
        raise NotImplementedError("it has no function that could be called")


def call_to_messages(item: WebSearchCall) -> Sequence[Message]:
    """The answer that the model then wrote has what it found; the call says what it looked for."""
    call_id = item.id or ""
    return (called(call_id, "web_search", item.action or {}), answered(call_id, item.status or "completed"))
