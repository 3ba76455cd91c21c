"""Calls that the server runs itself, each with its outcome. surface.md section 3."""

from typing import Any, Literal, Self

import msgspec

from antiphon.protocol.content import LongText
from antiphon.protocol.item import Item, ItemStatus, NewId, StatusItem
from antiphon.protocol.tools import Tool
from antiphon.protocol.wire import CallId, Wire, shown

# ---- search -----------------------------------------------------------------------------------------


class FileSearchResult(Wire):
    attributes: dict[str, str | int | float | bool] | None = None
    file_id: str | None = None
    filename: str | None = None
    score: float | None = None
    text: str | None = None
    vector_store_id: str | None = None
    """Not in the SDK; the real API shows it (behaviours.md section 2)."""


class FileSearchCall(StatusItem, tag="file_search_call", kw_only=True):
    prefix = "fs"
    status: Literal["in_progress", "searching", "completed", "incomplete", "failed"] | None = None
    queries: list[str]
    results: list[FileSearchResult] | None = shown(None)


class UrlSource(Wire, tag="url", tag_field="type"):
    url: str


class ApiSource(Wire, tag="api", tag_field="type"):
    """A source without an address, such as `oai-weather`. Not in the SDK; the real API shows it."""

    name: str


class ImageResult(Wire, tag="image_result", tag_field="type"):
    """A picture that was found. Not in the SDK; three clients know it."""

    image_url: str
    thumbnail_url: str | None = None
    source_website_url: str | None = None
    caption: str | None = None


class Search(Wire, tag="search", tag_field="type"):
    query: str | None = None
    queries: list[str] | None = None
    sources: list[UrlSource | ApiSource] | None = None


class OpenPage(Wire, tag="open_page", tag_field="type"):
    url: str | None = None


class FindInPage(Wire, tag="find_in_page", tag_field="type"):
    url: str
    pattern: str


class WebSearchCall(StatusItem, tag="web_search_call", kw_only=True):
    prefix = "ws"
    status: Literal["in_progress", "searching", "completed", "failed", "incomplete"] | None = None
    action: Search | OpenPage | FindInPage | None = None
    """Known when the search is done (behaviours.md section 2)."""
    results: list[ImageResult] | None = None


class ToolSearchItem(StatusItem, kw_only=True):
    """Who answers a search for tools: with a call_id it is the client, unless it says otherwise."""

    status: ItemStatus | None = None
    call_id: CallId | None = shown(None)
    execution: Literal["server", "client"] | None = None
    created_by: str | None = None

    def stored(self, new_id: NewId) -> Self:
        item = super().stored(new_id)
        item.execution = self.execution or ("client" if self.call_id else "server")
        return item


class ToolSearchCall(ToolSearchItem, tag="tool_search_call", kw_only=True):
    prefix = "tsc"
    arguments: Any


class ToolSearchOutput(ToolSearchItem, tag="tool_search_output", kw_only=True):
    prefix = "tso"
    tools: list[Tool]


# ---- code -------------------------------------------------------------------------------------------


class Logs(Wire, tag="logs", tag_field="type"):
    logs: str


class Image(Wire, tag="image", tag_field="type"):
    url: str

    @property
    def by_value(self) -> bool:
        """Whether it is the picture itself: any other URL, which a client may have sent, goes to no model."""
        return self.url.startswith("data:")


class CodeInterpreterCall(StatusItem, tag="code_interpreter_call", kw_only=True):
    prefix = "ci"
    status: Literal["in_progress", "completed", "incomplete", "interpreting", "failed"] | None = None
    container_id: str
    code: str | None = shown(None)
    outputs: list[Logs | Image] | None = shown(None)


class Program(Item, tag="program", kw_only=True):
    """A program of the model's that calls tools."""

    prefix = "cm"
    call_id: CallId
    code: LongText
    fingerprint: LongText


class ProgramOutput(StatusItem, tag="program_output", kw_only=True):
    prefix = "cmo"
    status: Literal["completed", "incomplete"] | None = None
    call_id: CallId
    result: LongText


# ---- images -----------------------------------------------------------------------------------------


class ModerationDetails(Wire):
    categories: list[str]
    moderation_stage: Literal["input", "output", "unknown"]


class ImageError(Wire):
    type: str
    message: str
    code: str | None = shown(None)
    param: str | None = shown(None)
    moderation_details: ModerationDetails | None = None


class SvgUsage(Wire):
    model: str
    input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    total_tokens: int


class ImageGenerationCall(StatusItem, tag="image_generation_call", kw_only=True):
    prefix = "ig"
    status: Literal["in_progress", "completed", "generating", "failed"] | None = None
    result: str | msgspec.UnsetType | None = shown(None)
    """base64. Unset while the picture is made, and then not shown (behaviours.md section 2)."""
    action: Literal["generate", "edit", "auto"] | None = None
    background: Literal["transparent", "opaque", "auto"] | None = None
    error: ImageError | None = None
    output_format: Literal["png", "webp", "jpeg", "gif", "svg"] | None = None
    quality: Literal["low", "medium", "high", "xhigh", "max", "auto"] | None = None
    revised_prompt: str | None = None
    size: str | None = None
    svg_usage: SvgUsage | None = None


# ---- MCP --------------------------------------------------------------------------------------------


class ListedTool(Wire):
    """A tool of an MCP server, in the server's words."""

    name: str
    input_schema: Any
    description: str | None = None
    annotations: Any = None


class McpListTools(Item, tag="mcp_list_tools", kw_only=True):
    prefix = "mcpl"
    server_label: str
    tools: list[ListedTool]
    error: str | None = None


class McpApprovalRequest(Item, tag="mcp_approval_request", kw_only=True):
    prefix = "mcpr"
    server_label: str
    name: str
    arguments: str


class McpApprovalResponse(Item, tag="mcp_approval_response", kw_only=True):
    prefix = "mcprr"
    approval_request_id: str
    approve: bool
    reason: str | None = None


class McpProtocolError(Wire, tag="mcp_protocol_error", tag_field="type"):
    code: int
    message: str


class McpToolExecutionError(Wire, tag="mcp_tool_execution_error", tag_field="type"):
    content: Any


class HttpError(Wire, tag="http_error", tag_field="type"):
    code: int
    message: str


class McpCall(StatusItem, tag="mcp_call", kw_only=True):
    prefix = "mcp"
    status: Literal["in_progress", "completed", "incomplete", "calling", "failed"] | None = None
    server_label: str
    name: str
    arguments: str
    approval_request_id: str | None = shown(None)
    output: str | None = shown(None)
    error: str | McpProtocolError | McpToolExecutionError | HttpError | None = shown(None)
    """A text in older items; a stored item has the form of today."""

    def stored(self, new_id: NewId) -> Self:
        item = super().stored(new_id)
        if isinstance(self.error, str):
            item.error = McpToolExecutionError(content=self.error)
        if self.status is None and self.error is not None:
            item.status = "failed"
        return item


def is_whole(item: Item) -> bool:
    """Whether a call of a tool ended well, and has what the servers insist on that take it back."""
    match item:
        case WebSearchCall(status="completed", action=Search(query=query)):
            return bool(query)
        case WebSearchCall(status="completed", action=action):
            return action is not None
        case CodeInterpreterCall(status="completed", container_id=container):
            return bool(container)
        case ImageGenerationCall(status="completed", result=str(result)):
            return bool(result)
    return False
