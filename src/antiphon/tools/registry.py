"""Which file serves which tool type and which item type: the one place where a new tool is named."""

from collections.abc import Callable, Sequence
from typing import Any

from antiphon.model import Message
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.hosted_items import McpCall
from antiphon.protocol.item import Item, item_type
from antiphon.protocol.tools import (
    ApplyPatchTool,
    BaseTool,
    CodeInterpreterTool,
    ComputerTool,
    ComputerUsePreviewTool,
    CustomTool,
    FileSearchTool,
    FunctionTool,
    ImageGenerationTool,
    LocalShellTool,
    McpTool,
    ShellTool,
    ToolSearchTool,
    WebSearch20250826Tool,
    WebSearchPreview20250311Tool,
    WebSearchPreviewTool,
    WebSearchTool,
)
from antiphon.protocol.tools import Tool as WireTool
from antiphon.tools import (
    apply_patch,
    code_interpreter,
    computer,
    custom,
    file_search,
    function,
    image_generation,
    local_shell,
    mcp,
    program,
    shell,
    tool_search,
    unsupported,
    web_search,
)
from antiphon.tools.base import Source, Tool, ToolContext

_RESOLVERS: dict[type[BaseTool], Callable[[Any, ToolContext], Tool]] = {
    FunctionTool: function.ClientFunction,
    CustomTool: custom.ClientCustomTool,
    ApplyPatchTool: apply_patch.ApplyPatch,
    ShellTool: shell.ClientShell,
    LocalShellTool: local_shell.LocalShell,
    ComputerTool: computer.Computer,
    ComputerUsePreviewTool: computer.Computer,
    ToolSearchTool: tool_search.resolve,
    WebSearchTool: web_search.resolve,
    WebSearch20250826Tool: web_search.resolve,
    WebSearchPreviewTool: unsupported.unsupported(unsupported.WEB_SEARCH),
    WebSearchPreview20250311Tool: unsupported.unsupported(unsupported.WEB_SEARCH),
    FileSearchTool: unsupported.unsupported(unsupported.FILE_SEARCH),
    CodeInterpreterTool: unsupported.unsupported(unsupported.CODE_INTERPRETER),
    ImageGenerationTool: unsupported.unsupported(unsupported.IMAGE_GENERATION),
}

_SOURCES: dict[type[BaseTool], Callable[[Any, ToolContext], Source]] = {McpTool: mcp.Server}

_TO_MESSAGES: dict[str, Callable[[Any], Sequence[Message]]] = {
    "function_call": function.call_to_messages,
    "function_call_output": function.output_to_messages,
    "custom_tool_call": custom.call_to_messages,
    "custom_tool_call_output": custom.output_to_messages,
    "local_shell_call": local_shell.call_to_messages,
    "local_shell_call_output": local_shell.output_to_messages,
    "shell_call": shell.call_to_messages,
    "shell_call_output": shell.output_to_messages,
    "apply_patch_call": apply_patch.call_to_messages,
    "apply_patch_call_output": apply_patch.output_to_messages,
    "computer_call": computer.call_to_messages,
    "computer_call_output": computer.output_to_messages,
    "tool_search_call": tool_search.call_to_messages,
    "tool_search_output": tool_search.output_to_messages,
    "mcp_list_tools": mcp.listing_to_messages,
    "mcp_call": mcp.call_to_messages,
    "mcp_approval_request": mcp.approval_request_to_messages,
    "mcp_approval_response": mcp.approval_response_to_messages,
    "web_search_call": web_search.call_to_messages,
    "file_search_call": file_search.call_to_messages,
    "code_interpreter_call": code_interpreter.call_to_messages,
    "image_generation_call": image_generation.call_to_messages,
    "program": program.call_to_messages,
    "program_output": program.output_to_messages,
}


def resolve(wire: WireTool, context: ToolContext) -> Tool:
    """The tool behind an entry of `tools`. Raises InvalidRequest for a type that nobody serves yet."""
    resolver = _RESOLVERS.get(type(wire))
    if resolver is None:
        raise InvalidRequest(
            f"Tools of type '{wire.__struct_config__.tag}' are not supported by this server yet.",
            param=f"{context.place}.type",
            code="unsupported_value",
        )
    return resolver(wire, context)


def source(wire: WireTool, context: ToolContext) -> Source | None:
    """What must be asked for the tools behind an entry of `tools`; None: they are known."""
    maker = _SOURCES.get(type(wire))
    return maker(wire, context) if maker else None


def to_messages(item: Item) -> Sequence[Message] | None:
    """A past item of a tool as messages; None: no tool serves items of its type."""
    recalled = _TO_MESSAGES.get(item_type(item))
    return recalled(item) if recalled else None


def to_messages_without_images(item: Item) -> Sequence[Message] | None:
    """The same for a model that reads none. Of a server's images it is told in words: they came unasked."""
    return mcp.call_to_messages(item, images=False) if isinstance(item, McpCall) else to_messages(item)
