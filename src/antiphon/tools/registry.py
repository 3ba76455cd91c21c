"""Which file serves which tool type and which item type: the one place where a new tool is named."""

from collections.abc import Callable, Sequence
from typing import Any

from antiphon.backends.base import Message
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
    unserved,
    web_search,
)
from antiphon.tools.base import Source, Terms, Tool

_RESOLVERS: dict[type[BaseTool], Callable[[Any, Terms], Tool]] = {
    FunctionTool: function.FunctionOfClient,
    CustomTool: custom.CustomOfClient,
    ApplyPatchTool: apply_patch.ApplyPatch,
    ShellTool: shell.ShellOfClient,
    LocalShellTool: local_shell.LocalShell,
    ComputerTool: computer.Computer,
    ComputerUsePreviewTool: computer.Computer,
    ToolSearchTool: tool_search.resolve,
    WebSearchTool: web_search.resolve,
    WebSearch20250826Tool: web_search.resolve,
    WebSearchPreviewTool: unserved.unserved(unserved.WEB_SEARCH),
    WebSearchPreview20250311Tool: unserved.unserved(unserved.WEB_SEARCH),
    FileSearchTool: unserved.unserved(unserved.FILE_SEARCH),
    CodeInterpreterTool: unserved.unserved(unserved.CODE_INTERPRETER),
    ImageGenerationTool: unserved.unserved(unserved.IMAGE_GENERATION),
}

_SOURCES: dict[type[BaseTool], Callable[[Any, Terms], Source]] = {McpTool: mcp.Server}

_RECALLS: dict[str, Callable[[Any], Sequence[Message]]] = {
    "function_call": function.recall_call,
    "function_call_output": function.recall_output,
    "custom_tool_call": custom.recall_call,
    "custom_tool_call_output": custom.recall_output,
    "local_shell_call": local_shell.recall_call,
    "local_shell_call_output": local_shell.recall_output,
    "shell_call": shell.recall_call,
    "shell_call_output": shell.recall_output,
    "apply_patch_call": apply_patch.recall_call,
    "apply_patch_call_output": apply_patch.recall_output,
    "computer_call": computer.recall_call,
    "computer_call_output": computer.recall_output,
    "tool_search_call": tool_search.recall_call,
    "tool_search_output": tool_search.recall_output,
    "mcp_list_tools": mcp.recall_listing,
    "mcp_call": mcp.recall_call,
    "mcp_approval_request": mcp.recall_request,
    "mcp_approval_response": mcp.recall_response,
    "web_search_call": web_search.recall_call,
    "file_search_call": file_search.recall_call,
    "code_interpreter_call": code_interpreter.recall_call,
    "image_generation_call": image_generation.recall_call,
    "program": program.recall_call,
    "program_output": program.recall_output,
}


def resolve(wire: WireTool, terms: Terms) -> Tool:
    """The tool behind an entry of `tools`. Raises InvalidRequest for a type that nobody serves yet."""
    resolver = _RESOLVERS.get(type(wire))
    if resolver is None:
        raise InvalidRequest(
            f"Tools of type '{wire.__struct_config__.tag}' are not supported by this server yet.",
            param=f"{terms.place}.type",
            code="unsupported_value",
        )
    return resolver(wire, terms)


def source(wire: WireTool, terms: Terms) -> Source | None:
    """What must be asked for the tools behind an entry of `tools`; None: they are known."""
    maker = _SOURCES.get(type(wire))
    return maker(wire, terms) if maker else None


def recall(item: Item) -> Sequence[Message] | None:
    """A past item of a tool as messages; None: no tool serves items of its type."""
    recalled = _RECALLS.get(item_type(item))
    return recalled(item) if recalled else None


def recall_without_images(item: Item) -> Sequence[Message] | None:
    """The same for a model that reads none. Of a server's images it is told in words: they came unasked."""
    return mcp.recall_call(item, images=False) if isinstance(item, McpCall) else recall(item)
