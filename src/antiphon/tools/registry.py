"""Which file serves which tool type and which item type: the one place where a new tool is named.

A row says all of it: the types of `tools` that the tool serves, what resolves an entry (or who must be asked
for its tools first), and how past items of it read.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from antiphon.model import Message
from antiphon.protocol.errors import InvalidRequest
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
    ProgrammaticToolCallingTool,
    ShellTool,
    ToolSearchTool,
    WebSearch20250826Tool,
    WebSearchPreview20250311Tool,
    WebSearchPreviewTool,
    WebSearchTool,
)
from antiphon.protocol.tools import Tool as WireTool
from antiphon.tools import (
    agents,
    apply_patch,
    code_interpreter,
    computer,
    custom,
    file_search,
    function,
    hosted_shell,
    image_generation,
    local_shell,
    mcp,
    program,
    shell,
    tool_search,
    web_search,
)
from antiphon.tools.base import Tool
from antiphon.tools.context import ToolContext
from antiphon.tools.provider import ToolProvider

Resolve = Callable[[Any, ToolContext], Tool]
Provide = Callable[[Any, ToolContext], ToolProvider]
Read = Callable[..., Sequence[Message]]
"""Given an item, and `images` where its row says so."""


@dataclass(frozen=True)
class ToolRow:
    """What there is to know of a tool."""

    wire: Sequence[type[BaseTool]] = ()
    """The types of `tools` that it serves."""
    resolve: Resolve | None = None
    """Makes the tool behind an entry."""
    provide: Provide | None = None
    """Makes who must be asked for the tools behind an entry."""
    reads: Mapping[str, Read] = field(default_factory=dict)
    """How its past items read, by their types."""
    with_images: Collection[str] = ()
    """Those of them that read otherwise (`images=False`) for a model that reads no images."""


ROWS: Sequence[ToolRow] = (
    ToolRow(
        (FunctionTool,),
        function.ClientFunction,
        reads={
            "function_call": function.call_to_messages,
            "function_call_output": function.output_to_messages,
        },
    ),
    ToolRow(
        (CustomTool,),
        custom.ClientCustomTool,
        reads={
            "custom_tool_call": custom.call_to_messages,
            "custom_tool_call_output": custom.output_to_messages,
        },
    ),
    ToolRow(
        (ApplyPatchTool,),
        apply_patch.resolve,
        reads={
            "apply_patch_call": apply_patch.call_to_messages,
            "apply_patch_call_output": apply_patch.output_to_messages,
        },
    ),
    ToolRow(
        (ShellTool,),
        hosted_shell.resolve,
        reads={"shell_call": shell.call_to_messages, "shell_call_output": shell.output_to_messages},
    ),
    ToolRow(
        (LocalShellTool,),
        local_shell.LocalShell,
        reads={
            "local_shell_call": local_shell.call_to_messages,
            "local_shell_call_output": local_shell.output_to_messages,
        },
    ),
    ToolRow(
        (ComputerTool, ComputerUsePreviewTool),
        computer.Computer,
        reads={
            "computer_call": computer.call_to_messages,
            "computer_call_output": computer.output_to_messages,
        },
    ),
    ToolRow(
        (ToolSearchTool,),
        tool_search.resolve,
        reads={
            "tool_search_call": tool_search.call_to_messages,
            "tool_search_output": tool_search.output_to_messages,
        },
    ),
    ToolRow(
        (McpTool,),
        provide=mcp.Server,
        reads={
            "mcp_list_tools": mcp.listing_to_messages,
            "mcp_call": mcp.call_to_messages,
            "mcp_approval_request": mcp.approval_request_to_messages,
            "mcp_approval_response": mcp.approval_response_to_messages,
        },
        with_images=("mcp_call",),
    ),
    ToolRow(
        (WebSearchTool, WebSearch20250826Tool, WebSearchPreviewTool, WebSearchPreview20250311Tool),
        web_search.resolve,
        reads={"web_search_call": web_search.call_to_messages},
    ),
    ToolRow(
        (FileSearchTool,),
        file_search.resolve,
        reads={"file_search_call": file_search.call_to_messages},
    ),
    ToolRow(
        (CodeInterpreterTool,),
        code_interpreter.resolve,
        reads={"code_interpreter_call": code_interpreter.call_to_messages},
        with_images=("code_interpreter_call",),
    ),
    ToolRow(
        (ImageGenerationTool,),
        image_generation.resolve,
        reads={"image_generation_call": image_generation.call_to_messages},
        with_images=("image_generation_call",),
    ),
    ToolRow(
        reads={
            "multi_agent_call": agents.call_to_messages,
            "multi_agent_call_output": agents.output_to_messages,
        }
    ),
    ToolRow(
        (ProgrammaticToolCallingTool,),
        program.resolve,
        reads={"program": program.call_to_messages, "program_output": program.output_to_messages},
        with_images=("program_output",),
    ),
)


class Registry:
    """Finds the row of a tool and of an item. Of two rows for one type the later counts."""

    def __init__(self, rows: Sequence[ToolRow]) -> None:
        self._by_wire: dict[type[BaseTool], ToolRow] = {}
        self._reads: dict[str, Read] = {}
        self._reads_without_images: dict[str, Read] = {}
        for row in rows:
            self.add(row)

    def add(self, row: ToolRow) -> None:
        self._by_wire |= dict.fromkeys(row.wire, row)
        self._reads |= row.reads
        in_words = {kind: partial(row.reads[kind], images=False) for kind in row.with_images}
        self._reads_without_images |= {**row.reads, **in_words}

    def row(self, wire: WireTool, context: ToolContext) -> ToolRow:
        """The row of an entry of `tools`. Raises InvalidRequest for a type that nobody serves yet."""
        row = self._by_wire.get(type(wire))
        if row is None:
            raise InvalidRequest(
                f"Tools of type '{wire.__struct_config__.tag}' are not supported by this server yet.",
                param=f"{context.place}.type",
                code="unsupported_value",
            )
        return row

    def provider(self, wire: WireTool, context: ToolContext) -> ToolProvider | None:
        """Who must be asked for the tools behind an entry of `tools`; None: they are known."""
        row = self._by_wire.get(type(wire))
        return row.provide(wire, context) if row is not None and row.provide is not None else None

    def to_messages(self, item: Item) -> Sequence[Message] | None:
        """A past item of a tool as messages; None: no tool serves items of its type."""
        read = self._reads.get(item_type(item))
        return read(item) if read else None

    def to_messages_without_images(self, item: Item) -> Sequence[Message] | None:
        """The same for a model that reads none."""
        read = self._reads_without_images.get(item_type(item))
        return read(item) if read else None


REGISTRY = Registry(ROWS)
