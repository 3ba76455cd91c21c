"""`mcp`: tools of MCP servers, which we list and call.

Before the first turn each server is asked for its tools, unless the context holds its listing. The tools are
offered as functions `label__name`. A call of one is made here, and the model goes on with what came of it;
one that needs consent becomes an `mcp_approval_request` instead, and ends the response. With the consent the
call is made first thing in the next response. What a server does wrong, the model reads in words.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec

from antiphon.mcp.base import Listed, McpError, Result
from antiphon.model import Function, ImagePart, Message, Part, TextPart
from antiphon.protocol import events
from antiphon.protocol.errors import ApiError, ConnectorFailed
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
from antiphon.protocol.item import Item
from antiphon.protocol.tools import AllowedCallers, McpApprovalFilter, McpTool, McpToolFilter
from antiphon.protocol.wire import encode
from antiphon.stream.items import OpenText
from antiphon.stream.machine import Machine
from antiphon.stream.mcp import OpenMcpListing
from antiphon.tools.base import ServerCall, Tool, ToolCall, ToolResult, Write
from antiphon.tools.calls import WholeCall
from antiphon.tools.context import ToolContext
from antiphon.tools.emitter import Emitter
from antiphon.tools.mcp_address import address_of
from antiphon.tools.messages import answered, called
from antiphon.tools.names import safe_name
from antiphon.tools.partial import decode
from antiphon.tools.provider import ApprovedCall, ToolProvider
from antiphon.tools.schema import Schema

McpCallError = McpProtocolError | McpToolExecutionError | HttpError

_LISTING = "mcp_list_tools"
_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}}
_INVALID_PARAMS = -32602
_READ_ONLY = "read_only"
"""What a listing says of a tool besides its schema (behaviours.md section 2)."""
_INTERRUPTED = "Error: the call was interrupted before its answer came. It may have taken effect, or not."


class Server(ToolProvider):
    """A resolved `mcp` tool."""

    kind = "mcp"

    def __init__(self, wire: McpTool, context: ToolContext) -> None:
        self.wire = wire
        self._context = context
        self._address = address_of(wire, context)
        self._listing: OpenMcpListing | None = None
        self._found: Sequence[ListedTool] | None = None
        self._listed: Sequence[ListedTool] | None = None
        self._error: McpError | None = None

    @property
    def label(self) -> str:
        return self.wire.server_label

    @property
    def callers(self) -> AllowedCallers | None:
        return self.wire.allowed_callers

    @property
    def known(self) -> bool:
        return self._listed is not None

    def remember(self, item: Item) -> bool:
        if not isinstance(item, McpListTools) or item.server_label != self.label or item.error is not None:
            return False
        self._listed = [tool for tool in item.tools if self._allows(tool)]
        return True

    @property
    def fault(self) -> ApiError | None:
        return _unlisted(self.label, self._error) if self._error is not None else None

    async def reach(self) -> None:
        assert self._context.resources.mcp is not None
        try:
            found = await self._context.resources.mcp.list(self._context.project, self._address)
        except McpError as fault:
            self._error = fault
            return
        self._found = [tool for tool in map(_as_listed, found) if self._allows(tool)]

    def begin(self, machine: Machine) -> None:
        item = McpListTools(id=machine.new_id(_LISTING), server_label=self.label, tools=[])
        self._listing = machine.open(OpenMcpListing, item)
        self._listing.asking()

    async def ask(self) -> None:
        assert self._listing is not None
        if self._found is None:
            await self.reach()
        if self._found is not None:
            self._listed = self._found
            self._listing.listed(self._listed)
        elif self._error is not None:
            self._listing.failed(self._error.message)

    def note(self) -> Sequence[Message]:
        if self._error is None or self._listing is None:
            return ()
        return _no_listing(self._listing.item_id, self.label, self._error.message)

    def tools(self) -> Sequence[tuple[str, Tool]]:
        return [(tool.name, McpFunction(self, tool)) for tool in self._listed or ()]

    def approved(self, call: ApprovedCall) -> "McpToolCall":
        made = McpToolCall(self, call.name, safe_name(call.name, self.label), call.request, call.request)
        made.feed(call.arguments)
        return made

    def certified(self, request: McpApprovalRequest) -> Item:
        return self._context.certify(request)

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

    def schema(self, schema: dict[str, Any]) -> Schema:
        return Schema(schema, self._context.resources.children, self._context.project)

    @property
    def reads_images(self) -> bool:
        return self._context.images

    def _allows(self, tool: ListedTool) -> bool:
        allowed = self.wire.allowed_tools
        if isinstance(allowed, McpToolFilter):
            return _matches(allowed, tool)
        return allowed is None or tool.name in allowed


class McpFunction(Tool):
    """A tool of a server."""

    def __init__(self, server: Server, tool: ListedTool) -> None:
        self._server = server
        self._tool = tool
        self.executor = "approval" if server.needs_approval(tool) else "server"
        self._parameters = _NO_PARAMETERS

    async def compile(self) -> None:
        """Upstreams refuse a turn with a schema that is none; the server checks the arguments itself."""
        found = self._tool.input_schema if isinstance(self._tool.input_schema, dict) else {}
        found = {**_NO_PARAMETERS, **found}
        if found["type"] == "object" and await self._server.schema(found).fault() is None:
            self._parameters = found

    def functions(self) -> Sequence[Function]:
        about = self._server.wire.server_description
        described = (self._tool.description, about and f"About the server '{self._server.label}': {about}")
        return (
            Function(
                safe_name(self._tool.name, self._server.label),
                "\n\n".join(part for part in described if part),
                self._parameters,
            ),
        )

    def call(self, name: str, call_id: str) -> ToolCall:
        if self.executor == "approval":
            return AskedCall(self._server, self._tool.name, name, call_id)
        return McpToolCall(self._server, self._tool.name, name, call_id)


class McpToolCall(ServerCall):
    """A call that is made. `request` is the id of the request for consent, if there was one."""

    item: OpenText | None = None

    def __init__(
        self, server: Server, tool: str, name: str, call_id: str, request: str | None = None
    ) -> None:
        super().__init__(name, call_id)
        self._server = server
        self._tool = tool
        self._request = request

    def begin(self, machine: Machine) -> Write:
        item = McpCall(
            id=machine.new_id("mcp_call"),
            server_label=self._server.label,
            name=self._tool,
            arguments="",
            approval_request_id=self._request,
            status="in_progress",
        )
        self.item = machine.open(OpenText, item)
        self.item.emit(events.McpCallInProgress(**self.item.place))
        return self.item.write

    def conclude(self, machine: Machine) -> None:
        if self.item is not None:
            self.item.end()

    async def run(self, emit: Emitter) -> ToolResult:
        value = decode(self.arguments)
        if isinstance(value, str):
            return await _failed(emit, McpProtocolError(code=_INVALID_PARAMS, message=value))
        try:
            result = await self._server.call(self._tool, value)
        except McpError as fault:
            kind = HttpError if fault.kind == "http" else McpProtocolError
            return await _failed(emit, kind(code=fault.code, message=fault.message))
        if result.failed:
            return await _failed(emit, McpToolExecutionError(content=result.content))
        output = _output(result.content)
        await emit(events.McpCallCompleted)
        await emit.done(status="completed", output=output)
        return ToolResult(_shown(output, self._server.reads_images))


class AskedCall(WholeCall):
    """A call that waits for consent. Nobody should be asked to consent to what is no call."""

    executor = "approval"

    def __init__(self, server: Server, tool: str, name: str, call_id: str) -> None:
        super().__init__(name, call_id)
        self._server = server
        self._tool = tool

    def conclude(self, machine: Machine) -> None:
        request = McpApprovalRequest(
            id=machine.new_id("mcp_approval_request"),
            server_label=self._server.label,
            name=self._tool,
            arguments=self.arguments or "{}",
        )
        machine.add(self._server.certified(request))


# ---- listings ------------------------------------------------------------------------------


def _as_listed(tool: Listed) -> ListedTool:
    return ListedTool(
        name=tool.name,
        input_schema=tool.input_schema,
        description=tool.description,
        annotations={_READ_ONLY: _hinted(tool.annotations, "readOnlyHint")},
    )


def _matches(wanted: McpToolFilter, tool: ListedTool) -> bool:
    if wanted.tool_names is not None and tool.name not in wanted.tool_names:
        return False
    return wanted.read_only is None or wanted.read_only == _reads_only(tool)


def _reads_only(tool: ListedTool) -> bool:
    """A listing that a client sends back may have the protocol's own word."""
    return _hinted(tool.annotations, _READ_ONLY) or _hinted(tool.annotations, "readOnlyHint")


def _hinted(annotations: Any, name: str) -> bool:
    return isinstance(annotations, dict) and annotations.get(name) is True


def _unlisted(label: str, error: McpError) -> ConnectorFailed:
    """As the real API says it (behaviours.md section 6)."""
    words, code = error.message, "mcp_protocol_error"
    if error.kind == "http":
        known = error.code in {each.value for each in HTTPStatus}
        phrase = f" ({HTTPStatus(error.code).phrase})" if known else ""
        words, code = f"Http status code: {error.code}{phrase}", "http_error"
    words = f"Error retrieving tool list from MCP server: '{label}'. {words}"
    return ConnectorFailed(words, param="tools", code=code)


# ---- results ----------------------------------------------------------------------------------------


async def _failed(emit: Emitter, error: McpCallError) -> ToolResult:
    await emit(events.McpCallFailed)
    await emit.done(status="failed", error=error)
    return ToolResult((TextPart(_error_words(error)),))


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
    """`images`: whether the model reads them; else they are named in words, since they came unasked."""
    call_id = item.id or ""
    if item.status == "incomplete":
        output: tuple[Part, ...] = (TextPart(_INTERRUPTED),)
    elif item.error is not None:
        output = (TextPart(_error_words(item.error)),)
    else:
        output = _shown(item.output or "", images)
    name = safe_name(item.name, item.server_label)
    return (called(call_id, name, item.arguments), answered(call_id, output))


def approval_request_to_messages(item: McpApprovalRequest) -> Sequence[Message]:
    return (called(item.id or "", safe_name(item.name, item.server_label), item.arguments),)


def approval_response_to_messages(item: McpApprovalResponse) -> Sequence[Message]:
    """Only a denial is an answer; after consent, the call's own item has its result."""
    if item.approve:
        return ()
    reason = f": {item.reason}" if item.reason else "."
    return (answered(item.approval_request_id, f"The user did not approve this call{reason}"),)


def _no_listing(item_id: str, label: str, error: str) -> Sequence[Message]:
    """As a call and its result: any model that was trained on functions can read that."""
    return (
        called(item_id, _LISTING, {"server_label": label}),
        answered(item_id, f"Error: the tools of the MCP server '{label}' are not there. {error}"),
    )
