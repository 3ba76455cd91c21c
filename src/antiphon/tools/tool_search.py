"""`tool_search`: the model looks for tools that were deferred.

Executed by the client, the call is the client's to answer, with a `tool_search_output` that has the tools.
Executed by the server, the call and what it found are two items of the same response, and the model goes on
with the tools that were found. Either way they can be called as long as the output is in the context.

On the real API a function without a namespace that the server found is called with its own name as the
namespace; clients send that back, and know such a call by it. So it is here.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from antiphon.model import Function, Message, TextPart
from antiphon.protocol.hosted_items import ToolSearchCall, ToolSearchOutput
from antiphon.protocol.tools import CustomTool, FunctionTool, McpTool, NamespaceTool, ToolSearchTool
from antiphon.protocol.tools import Tool as WireTool
from antiphon.stream.machine import Machine, OpenItem
from antiphon.tools.base import ServerCall, Tool, ToolResult
from antiphon.tools.calls import Arguments, WholeCall
from antiphon.tools.context import Catalog, ToolContext
from antiphon.tools.emitter import Emitter
from antiphon.tools.messages import answered, called
from antiphon.tools.names import offered_name, safe_name

NAME = "tool_search"

_ABOUT_CLIENT = "Searches for tools that could help. What it finds can be called afterwards."
_QUERY = {
    "type": "object",
    "properties": {"query": {"type": "string", "description": "What the tool should be able to do."}},
    "required": ["query"],
}
_ABOUT_SERVER = """Loads tools that are not offered yet. What it finds can be called afterwards. \
These tools can be loaded:
"""
_PATHS = {
    "type": "object",
    "properties": {
        "paths": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The tools to load: their names as listed, or a few words on what one should do.",
        }
    },
    "required": ["paths"],
    "additionalProperties": False,
}


def resolve(tool: ToolSearchTool, context: ToolContext) -> Tool:
    if tool.execution == "client":
        return ClientToolSearch(tool)
    assert context.catalog is not None
    return ServerToolSearch(context.catalog)


class ClientToolSearch(Tool):
    """A resolved `tool_search` tool that the client executes."""

    def __init__(self, tool: ToolSearchTool) -> None:
        self._function = Function(NAME, tool.description or _ABOUT_CLIENT, tool.parameters or _QUERY)

    def functions(self) -> Sequence[Function]:
        return (self._function,)

    def call(self, name: str, call_id: str) -> "ClientSearch":
        return ClientSearch(name, call_id)


class ClientSearch(WholeCall):
    """A search that the client makes."""

    def conclude(self, machine: Machine) -> None:
        _emit(machine, self.id, self.decoded)


class ServerToolSearch(Tool):
    """A resolved `tool_search` tool that we execute."""

    executor = "server"

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def functions(self) -> Sequence[Function]:
        return (Function(NAME, _ABOUT_SERVER + self._catalog.listing(), _PATHS),)

    def call(self, name: str, call_id: str) -> "ServerSearch":
        return ServerSearch(name, call_id, self._catalog)


class ServerSearch(WholeCall, ServerCall):
    """A search of ours."""

    def __init__(self, name: str, call_id: str, catalog: Catalog) -> None:
        super().__init__(name, call_id)
        self._catalog = catalog

    def fault(self, arguments: Arguments) -> str | None:
        paths = arguments.get("paths")
        if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
            return "`paths` must be a list of names, or of words on what a tool should do."
        return None

    def conclude(self, machine: Machine) -> None:
        _emit(machine, None, self.decoded)

    async def run(self, emit: Emitter) -> ToolResult:
        found = self._catalog.find(self.decoded["paths"])
        item = ToolSearchOutput(
            id=emit.new_id("tool_search_output"),
            execution="server",
            tools=[tool.echo() for tool in found],
            status="in_progress",
        )
        output = await emit.add(item)
        await output.done(status="completed")
        return ToolResult((TextPart(_words(found)),))


def _emit(machine: Machine, call_id: str | None, arguments: Arguments) -> None:
    item = ToolSearchCall(
        id=machine.new_id("tool_search_call"),
        call_id=call_id,
        execution="client" if call_id else "server",
        arguments={},
        status="in_progress",
    )
    machine.open(OpenItem, item).finish(replace(item, arguments=arguments, status="completed"))


def call_to_messages(item: ToolSearchCall) -> Sequence[Message]:
    """A search of ours has no call_id: it reads from its output, which has what it found."""
    return (called(item.call_id, NAME, item.arguments),) if item.call_id else ()


def output_to_messages(item: ToolSearchOutput) -> Sequence[Message]:
    """What was found is offered again, so its names will do."""
    if item.call_id:
        return (answered(item.call_id, _words(item.tools)),)
    call_id = item.id or ""
    return (
        called(call_id, NAME, {"paths": [_path(tool) for tool in item.tools]}),
        answered(call_id, _words(item.tools)),
    )


def _words(found: Sequence[WireTool]) -> str:
    names = [name for tool in found for name in _names(tool)]
    if not names:
        return "No tool was found."
    return f"These tools can be called now: {', '.join(names)}"


def _names(tool: WireTool) -> Sequence[str]:
    """The names under which a tool's functions are offered."""
    if isinstance(tool, McpTool):
        allowed = tool.allowed_tools if isinstance(tool.allowed_tools, list) else []
        return [safe_name(name, tool.server_label) for name in allowed]
    if isinstance(tool, NamespaceTool):
        return [offered_name(member.name, tool.name) for member in tool.tools]
    return [offered_name(_path(tool))]


def _path(tool: WireTool) -> str:
    if isinstance(tool, FunctionTool | CustomTool | NamespaceTool):
        return tool.name
    if isinstance(tool, McpTool):
        return tool.server_label
    return str(tool.__struct_config__.tag)
