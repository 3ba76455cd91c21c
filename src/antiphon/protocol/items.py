"""The items of `input`, of `output` and of conversations: messages and all that is not a tool call,
and how the right type for an item is found. surface.md sections 3 to 5.

Tool calls are written down in `client_items` and `hosted_items`; this module is the door to all of them.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Annotated, Any, Literal, Self, cast

import msgspec
from msgspec import Meta

from antiphon.protocol.agent_items import AgentMessage, MultiAgentCall, MultiAgentCallOutput
from antiphon.protocol.client_items import (
    ApplyPatchCall,
    ApplyPatchCallOutput,
    ComputerCall,
    ComputerCallOutput,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    LocalShellCall,
    LocalShellCallOutput,
    ShellCall,
    ShellCallOutput,
)
from antiphon.protocol.content import (
    AssistantPart,
    InputText,
    LongText,
    OutputText,
    ReasoningText,
    SummaryText,
    UserPart,
)
from antiphon.protocol.hosted_items import (
    CodeInterpreterCall,
    FileSearchCall,
    ImageGenerationCall,
    McpApprovalRequest,
    McpApprovalResponse,
    McpCall,
    McpListTools,
    Program,
    ProgramOutput,
    ToolSearchCall,
    ToolSearchOutput,
    WebSearchCall,
)
from antiphon.protocol.item import InputItem, Item, ItemStatus, NewId, StatusItem, item_type
from antiphon.protocol.known_tools import KNOWN_TOOLS
from antiphon.protocol.request import Effort, JsonSchemaFormat, TextFormat
from antiphon.protocol.tools import McpTool, Tool
from antiphon.protocol.wire import Wire, shown

__all__ = [
    "INPUT_ITEMS",
    "ITEM_TYPES",
    "MESSAGE_ROLES",
    "AdditionalTools",
    "AgentMessage",
    "ApplyPatchCall",
    "ApplyPatchCallOutput",
    "AssistantMessage",
    "CodeInterpreterCall",
    "Compaction",
    "CompactionTrigger",
    "ComputerCall",
    "ComputerCallOutput",
    "ConfigurationUpdate",
    "CustomToolCall",
    "CustomToolCallOutput",
    "FileSearchCall",
    "FunctionCall",
    "FunctionCallOutput",
    "ImageGenerationCall",
    "InputItem",
    "InputMessage",
    "Item",
    "ItemReference",
    "ItemStatus",
    "LocalShellCall",
    "LocalShellCallOutput",
    "McpApprovalRequest",
    "McpApprovalResponse",
    "McpCall",
    "McpListTools",
    "MultiAgentCall",
    "MultiAgentCallOutput",
    "NewId",
    "Program",
    "ProgramOutput",
    "Reasoning",
    "ReasoningUpdate",
    "ShellCall",
    "ShellCallOutput",
    "TextUpdate",
    "ToolSearchCall",
    "ToolSearchOutput",
    "WebSearchCall",
    "decode_item",
    "decode_stored",
    "item_class",
    "item_type",
]

# ---- messages ---------------------------------------------------------------------------------------


class InputMessage(StatusItem, tag="message", kw_only=True):
    prefix = "msg"
    role: Literal["user", "system", "developer"]
    content: LongText | tuple[UserPart, ...]
    """A tuple of parts, as the output of a tool: unlike a list, the garbage collector need not look at it."""
    status: ItemStatus | None = None

    def stored(self, new_id: NewId) -> Self:
        item, content = super().stored(new_id), self.content
        if isinstance(content, str):
            item.content = (InputText(text=content),)
        return item


class AssistantMessage(StatusItem, tag="message", kw_only=True):
    prefix = "msg"
    role: Literal["assistant"] = shown("assistant")
    content: LongText | tuple[AssistantPart, ...]
    phase: Literal["commentary", "final_answer"] | None = None
    status: ItemStatus | None = None

    def stored(self, new_id: NewId) -> Self:
        item = super().stored(new_id)
        if isinstance(self.content, str):
            item.content = (OutputText(text=self.content),)
        return item


class Reasoning(Item, tag="reasoning", kw_only=True):
    """Its status is normally not shown (behaviours.md section 2)."""

    prefix = "rs"
    summary: tuple[SummaryText, ...]
    content: tuple[ReasoningText, ...] | None = None
    encrypted_content: str | None = None
    status: ItemStatus | None = None


# In the order in which the API names the roles.
_MESSAGES: dict[str, type[StatusItem]] = {
    "assistant": AssistantMessage,
    "system": InputMessage,
    "developer": InputMessage,
    "user": InputMessage,
}
MESSAGE_ROLES = tuple(_MESSAGES)


# ---- what changes the context -----------------------------------------------------------------------


class Compaction(Item, tag="compaction", kw_only=True):
    """What came before, in short, readable only to the server."""

    prefix = "cmp"
    encrypted_content: Annotated[str, Meta(max_length=20_971_520)]
    created_by: str | None = None


class AdditionalTools(Item, tag="additional_tools", kw_only=True):
    """More tools from this point of the input on."""

    prefix = "at"
    role: Literal["developer"]
    tools: list[Tool]

    def stored(self, new_id: NewId) -> Self:
        item = super().stored(new_id)
        item.tools = [tool.without_secrets() if isinstance(tool, McpTool) else tool for tool in self.tools]
        return item


class ReasoningUpdate(Wire):
    effort: Effort | None = None


class TextUpdate(Wire):
    format: TextFormat | JsonSchemaFormat


class ConfigurationUpdate(Item, tag="configuration_update", kw_only=True):
    """Other settings from this point on."""

    prefix = "cu"
    reasoning: ReasoningUpdate | None = None
    text: TextUpdate | None = None


class CompactionTrigger(InputItem, tag="compaction_trigger"):
    """Asks for a compaction at this point of the input. Not kept."""

    prefix = "cmpt"
    id: str | None = None


class ItemReference(InputItem, tag="item_reference"):
    """Stands for a stored item. Not kept."""

    id: str


# ---- finding the type -------------------------------------------------------------------------------

INPUT_ITEMS: dict[str, type[InputItem]] = {
    cast(str, kind.__struct_config__.tag): kind
    for kind in (
        AdditionalTools,
        AgentMessage,
        ApplyPatchCall,
        ApplyPatchCallOutput,
        CodeInterpreterCall,
        Compaction,
        CompactionTrigger,
        ComputerCall,
        ComputerCallOutput,
        ConfigurationUpdate,
        CustomToolCall,
        CustomToolCallOutput,
        FileSearchCall,
        FunctionCall,
        FunctionCallOutput,
        ImageGenerationCall,
        ItemReference,
        LocalShellCall,
        LocalShellCallOutput,
        McpApprovalRequest,
        McpApprovalResponse,
        McpCall,
        McpListTools,
        MultiAgentCall,
        MultiAgentCallOutput,
        InputMessage,
        Program,
        ProgramOutput,
        Reasoning,
        ShellCall,
        ShellCallOutput,
        ToolSearchCall,
        ToolSearchOutput,
        WebSearchCall,
    )
}
"""The type of each item by its name. For `message` that of user, system and developer stands here."""

ITEM_TYPES = tuple(sorted(INPUT_ITEMS))
"""The names that the API lists when it does not know one."""


class _Peek(msgspec.Struct):
    """What names the type of an item."""

    type: str | None = None
    role: str | None = None
    id: str | None = None
    content: msgspec.Raw = msgspec.Raw()


class _BareReference(Wire):
    """An item_reference whose `type` is left out or null, which no tagged type can read."""

    id: str
    type: None = None


_peek = msgspec.json.Decoder(_Peek)
_bare_reference = msgspec.json.Decoder(_BareReference)


@cache
def _decoder(kind: type[InputItem]) -> Callable[[bytes | msgspec.Raw], InputItem]:
    if kind in (AdditionalTools, ToolSearchOutput):
        return partial(KNOWN_TOOLS.decode, kind=kind)
    return msgspec.json.Decoder(kind).decode


def decode_item(raw: bytes | msgspec.Raw) -> InputItem:
    """The item that this JSON is. Raises `msgspec.ValidationError` when it is none."""
    seen = _peek.decode(raw)
    kind = _choose(seen.type, seen.role, bare_id=seen.id is not None and not seen.content)
    if kind is None:
        raise msgspec.ValidationError("Not the type of an item, or the role of a message")
    if kind is ItemReference and seen.type is None:
        return ItemReference(id=_bare_reference.decode(raw).id)
    return _decoder(kind)(raw)


def decode_stored(raw: bytes | msgspec.Raw) -> Item:
    """The item that was stored as this JSON."""
    return cast(Item, decode_item(raw))


def item_class(value: Mapping[str, Any]) -> type[InputItem] | None:
    """The type that `decode_item` chooses for an item; None when its `type` or `role` is unknown."""
    bare_id = isinstance(value.get("id"), str) and "content" not in value
    return _choose(value.get("type"), value.get("role"), bare_id)


def _choose(name: object, role: object, bare_id: bool) -> type[InputItem] | None:
    """`type` may be left out for a message, and for a reference, which is an id and nothing else."""
    if name is None and role is None and bare_id:
        return ItemReference
    if name is None or name == "message":
        return _MESSAGES.get(role) if isinstance(role, str) else None
    return INPUT_ITEMS.get(name) if isinstance(name, str) else None
