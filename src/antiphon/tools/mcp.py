"""`mcp`: tools of MCP servers, which we list and call.

Before the first turn each server is asked for its tools, unless the context holds its listing. The tools are
offered as functions `label__name`. A call of one is made here, and the model goes on with what came of it;
one that needs consent becomes an `mcp_approval_request` instead, and ends the response. With the consent the
call is made first thing in the next response. Whatever a server does wrong, the model is told in words.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from antiphon.mcp.base import Listed, McpError, Result
from antiphon.model import Function, ImagePart, Message, Part, TextPart
from antiphon.protocol.hosted_items import (
    HttpError,
    ListedTool,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
    McpProtocolError,
    McpToolExecutionError,
)
from antiphon.protocol.tools import McpApprovalFilter, McpTool, McpToolFilter
from antiphon.protocol.wire import encode
from antiphon.stream.machine import ItemStatus, Machine, OpenItem
from antiphon.stream.mcp import McpCallError, OpenMcpCall, OpenMcpListing
from antiphon.tools.base import Executor, OpenCall, Tool, ToolContext, ToolResult
from antiphon.tools.function import refuse_programs
from antiphon.tools.mcp_address import address_of
from antiphon.tools.messages import answered, called
from antiphon.tools.names import safe_name
from antiphon.tools.partial import decode
from antiphon.tools.schema import Schema

_LISTING = "mcp_list_tools"
_INVALID_PARAMS = -32602
_INTERRUPTED = "Error: the call was interrupted before its answer came. It may have taken effect, or not."


class Server:
    """A resolved `mcp` tool."""

    def __init__(self, wire: McpTool, context: ToolContext) -> None:
        refuse_programs(wire.allowed_callers, context)
        self.wire = wire
        self._context = context
        self._address = address_of(wire, context)
        self._listing: OpenMcpListing | None = None
        self._listed: Sequence[ListedTool] | None = None
        self._error: str | None = None

    @property
    def label(self) -> str:
        return self.wire.server_label

    @property
    def known(self) -> bool:
        return self._listed is not None

    def remember(self, listing: McpListTools) -> None:
        if listing.error is None:
            self._listed = [tool for tool in listing.tools if self._allows(tool)]

    def begin(self, machine: Machine) -> None:
        item = McpListTools(id=machine.new_id(_LISTING), server_label=self.label, tools=[])
        self._listing = machine.open(OpenMcpListing, item)
        self._listing.asking()

    async def ask(self) -> None:
        assert self._listing is not None
        assert self._context.resources.mcp is not None
        try:
            found = await self._context.resources.mcp.list(self._context.project, self._address)
        except McpError as fault:
            self._error = fault.message
            self._listing.failed(fault.message)
            return
        self._listed = [tool for tool in map(_as_listed, found) if self._allows(tool)]
        self._listing.listed(self._listed)

    def note(self) -> Sequence[Message]:
        if self._error is None or self._listing is None:
            return ()
        return _no_listing(self._listing.item_id, self.label, self._error)

    def tools(self) -> Sequence[tuple[str, Tool]]:
        return [(tool.name, McpFunction(self, tool)) for tool in self._listed or ()]

    def approved(self, request: McpApprovalRequest) -> tuple[str, Tool]:
        listed = next((tool for tool in self._listed or () if tool.name == request.name), None)
        tool = listed or ListedTool(name=request.name, input_schema={})
        return function_name(self.label, request.name), McpFunction(self, tool, request.id)

    def needs_approval(self, tool: ListedTool) -> bool:
        wanted = self.wire.require_approval
        if not isinstance(wanted, McpApprovalFilter):
            return wanted != "never"
        if wanted.always is not None and _matches(wanted.always, tool):
            return True
        if wanted.never is not None:
            return not _matches(wanted.never, tool)
        return wanted.always is None

    async def call(self, name: str, arguments: dict[str, Any]) -> Result:
        """Raises McpError."""
        assert self._context.resources.mcp is not None
        return await self._context.resources.mcp.call(self._context.project, self._address, name, arguments)

    @property
    def reads_images(self) -> bool:
        return self._context.images

    def _allows(self, tool: ListedTool) -> bool:
        allowed = self.wire.allowed_tools
        if isinstance(allowed, McpToolFilter):
            return _matches(allowed, tool)
        return allowed is None or tool.name in allowed


class McpFunction:
    """A tool of a server. `request` is the id of the request that was approved, if its call was."""

    def __init__(self, server: Server, tool: ListedTool, request: str | None = None) -> None:
        self._server = server
        self._tool = tool
        self._request = request
        self._asks = request is None and server.needs_approval(tool)

    def functions(self) -> Sequence[Function]:
        about = self._server.wire.server_description
        described = (self._tool.description, about and f"About the server '{self._server.label}': {about}")
        return (
            Function(
                function_name(self._server.label, self._tool.name),
                "\n\n".join(part for part in described if part),
                _parameters(self._tool.input_schema),
            ),
        )

    def executor(self, name: str) -> Executor:
        return "approval" if self._asks else "server"

    def buffers(self, name: str) -> bool:
        return self._asks

    def check(self, name: str, arguments: str) -> str | None:
        """Nobody should be asked to approve what is no call."""
        value = decode(arguments)
        return value if isinstance(value, str) else None

    def open(self, machine: Machine, name: str, call_id: str) -> OpenCall:
        label, tool = self._server.label, self._tool.name
        if self._asks:
            return _AskedCall(machine, label, tool)
        item = McpCall(
            id=machine.new_id("mcp_call"),
            server_label=label,
            name=tool,
            arguments="",
            approval_request_id=self._request,
            status="in_progress",
        )
        handle = machine.open(OpenMcpCall, item)
        handle.begin()
        return _Call(handle)

    async def run(self, name: str, arguments: str) -> ToolResult:
        value = decode(arguments or "{}")
        if isinstance(value, str):
            return _failed(McpProtocolError(code=_INVALID_PARAMS, message=value))
        try:
            result = await self._server.call(self._tool.name, value)
        except McpError as fault:
            kind = HttpError if fault.kind == "http" else McpProtocolError
            return _failed(kind(code=fault.code, message=fault.message))
        if result.failed:
            return _failed(McpToolExecutionError(content=result.content))
        output = _output(result.content)
        return ToolResult(_shown(output, self._server.reads_images), output)


class _Call:
    """A call that is made."""

    def __init__(self, handle: OpenMcpCall) -> None:
        self._handle = handle

    def arguments(self, delta: str) -> None:
        self._handle.arguments(delta)

    def close(self, status: ItemStatus = "completed") -> None:
        self._handle.close(status)

    def conclude(self, result: ToolResult) -> None:
        if isinstance(result.item, str):
            self._handle.answered(result.item)
        else:
            error: Any = result.item
            self._handle.failed(error)


class _AskedCall:
    """A call that waits for consent."""

    def __init__(self, machine: Machine, label: str, name: str) -> None:
        self._machine = machine
        self._label = label
        self._name = name
        self._pieces: list[str] = []

    def arguments(self, delta: str) -> None:
        self._pieces.append(delta)

    def close(self, status: ItemStatus = "completed") -> None:
        item = McpApprovalRequest(
            id=self._machine.new_id("mcp_approval_request"),
            server_label=self._label,
            name=self._name,
            arguments="".join(self._pieces) or "{}",
        )
        self._machine.open(OpenItem, item).finish(item)


# ---- names and schemas ------------------------------------------------------------------------------


def function_name(label: str, name: str) -> str:
    """The function that a server's tool is offered as: a matter of these two alone, so that a past call
    reads under the same name."""
    return safe_name(name, label)


def _as_listed(tool: Listed) -> ListedTool:
    return ListedTool(
        name=tool.name,
        input_schema=tool.input_schema,
        description=tool.description,
        annotations=tool.annotations,
    )


def _parameters(schema: Any) -> dict[str, Any]:
    """The tool's schema, if it is one; upstreams refuse a turn with one that is not. The server checks the
    arguments itself."""
    found = schema if isinstance(schema, dict) else {}
    found = {"type": "object", "properties": {}, **found}
    try:
        Schema(found)
    except ValueError:
        return {"type": "object", "properties": {}}
    return found if found["type"] == "object" else {"type": "object", "properties": {}}


def _matches(wanted: McpToolFilter, tool: ListedTool) -> bool:
    if wanted.tool_names is not None and tool.name not in wanted.tool_names:
        return False
    return wanted.read_only is None or wanted.read_only == _reads_only(tool)


def _reads_only(tool: ListedTool) -> bool:
    return isinstance(tool.annotations, dict) and tool.annotations.get("readOnlyHint") is True


# ---- results ----------------------------------------------------------------------------------------


def _failed(error: McpCallError) -> ToolResult:
    return ToolResult((TextPart(_error_words(error)),), error)


def _error_words(error: McpCallError | str) -> str:
    if isinstance(error, str):
        return f"Error: {error}"
    if not isinstance(error, McpToolExecutionError):
        return f"Error: {error.message}"
    content = error.content
    text = _text_of(content) if isinstance(content, list) else None
    return f"Error: {content if isinstance(content, str) else text or encode(content).decode()}"


def _output(content: list[dict[str, Any]]) -> str:
    """What the call gave, as the one text that its item has: the text itself, or the content as JSON when
    it is not text alone."""
    text = _text_of(content)
    return encode(content).decode() if text is None else text


def _text_of(content: Sequence[Any]) -> str | None:
    """The text of content that is nothing else."""
    if not all(isinstance(block, dict) and block.get("type") == "text" for block in content):
        return None
    return "\n".join(str(block.get("text", "")) for block in content)


def _shown(output: str, images: bool = True) -> tuple[Part, ...]:
    """The output as a model reads it."""
    blocks = _blocks(output)
    if blocks is None:
        return (TextPart(output),)
    return tuple(_part(block, images) for block in blocks)


def _blocks(output: str) -> list[Any] | None:
    """The content that an output was made of, when it was not text alone."""
    if not output.startswith('[{"'):
        return None
    try:
        blocks = msgspec.json.decode(output)
    except msgspec.DecodeError:
        return None
    kinds = {"text", "image", "audio", "resource", "resource_link"}
    ours = all(isinstance(block, dict) and block.get("type") in kinds for block in blocks)
    return list(blocks) if ours else None


def _part(block: dict[str, Any], images: bool) -> Part:
    kind, media = block["type"], str(block.get("mimeType") or "")
    if kind == "image" and images and "data" in block:
        return ImagePart(f"data:{media or 'image/png'};base64,{block['data']}")
    resource = block.get("resource")
    if kind == "resource" and isinstance(resource, dict):
        return _resource(resource, images)
    if kind == "text":
        return TextPart(str(block.get("text", "")))
    if kind == "resource_link":
        return TextPart(f"{block.get('name') or 'Resource'}: {block.get('uri')}")
    return TextPart(f"[{kind} {media} that this model cannot read]")


def _resource(resource: dict[str, Any], images: bool) -> Part:
    media, uri = str(resource.get("mimeType") or ""), resource.get("uri")
    if isinstance(resource.get("text"), str):
        return TextPart(resource["text"])
    if media.startswith("image/") and images:
        return ImagePart(f"data:{media};base64,{resource.get('blob')}")
    return TextPart(f"[{uri} {media} that this model cannot read]")


# ---- past items -------------------------------------------------------------------------------------


def listing_to_messages(item: McpListTools) -> Sequence[Message]:
    """The tools are offered as functions; the model need not read the listing. A failed one it must know."""
    return _no_listing(item.id or "", item.server_label, item.error) if item.error else ()


def call_to_messages(item: McpCall, images: bool = True) -> Sequence[Message]:
    call_id = item.id or ""
    if item.status == "incomplete":
        output: tuple[Part, ...] = (TextPart(_INTERRUPTED),)
    elif item.error is not None:
        output = (TextPart(_error_words(item.error)),)
    else:
        output = _shown(item.output or "", images)
    name = function_name(item.server_label, item.name)
    return (called(call_id, name, item.arguments), answered(call_id, output))


def approval_request_to_messages(item: McpApprovalRequest) -> Sequence[Message]:
    return (called(item.id or "", function_name(item.server_label, item.name), item.arguments),)


def approval_response_to_messages(item: McpApprovalResponse) -> Sequence[Message]:
    """Only a denial is an answer; after consent, the call's own item has its result."""
    if item.approve:
        return ()
    reason = f": {item.reason}" if item.reason else "."
    return (answered(item.approval_request_id, f"The user did not approve this call{reason}"),)


def _no_listing(item_id: str, label: str, error: str) -> Sequence[Message]:
    """The model is told as of a call: any model that was trained on functions can read it."""
    return (
        called(item_id, _LISTING, {"server_label": label}),
        answered(item_id, f"Error: the tools of the MCP server '{label}' are not there. {error}"),
    )
