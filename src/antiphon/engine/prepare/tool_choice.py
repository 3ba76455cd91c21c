"""What `tool_choice` means for the turn: which functions are offered, and how the model may use them."""

from collections.abc import Mapping

from antiphon.model import Choice, NamedFunction
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.tool_choice import (
    AllowedTool,
    AllowedTools,
    CustomChoice,
    FunctionChoice,
    HostedChoice,
    McpChoice,
    ToolChoice,
)
from antiphon.tools.toolbox import Toolbox

_COMPUTERS = ("computer", "computer_use_preview")
_SAME = {"computer_use": _COMPUTERS, "computer": _COMPUTERS, "computer_use_preview": _COMPUTERS}
"""Types of which one means the other."""
_SEARCH = "tool_search"


def resolve_choice(choice: ToolChoice | None, toolbox: Toolbox) -> Choice:
    """The choice; from here on the toolbox offers the functions that it leaves. What is chosen by name need
    not be searched for. Raises InvalidRequest when the choice names a tool that is not there."""
    if choice is None or choice == "auto" or choice == "none":
        return choice or "auto"
    if choice == "required":
        if not toolbox.functions:
            _refuse_unavailable(toolbox.not_set_up)
            raise _absent("Tool choice 'required' must be specified with 'tools' parameter.")
        return "required"
    if isinstance(choice, AllowedTools):
        toolbox.allow(_allowed(choice, toolbox))
        return choice.mode
    names = _chosen(choice, toolbox)
    if len(names) > 1 and isinstance(choice, McpChoice):
        toolbox.reveal(names)
        toolbox.allow(names)
        return "required"
    if len(names) > 1 and not isinstance(choice, HostedChoice):
        raise _absent(f"Tool choice '{names[0]}' names more than one of the tools.")
    if not toolbox.may_be_called_by("direct", names[0]):
        raise _absent(f"Tool choice '{names[0]}' is a tool that only programs may call.")
    toolbox.reveal(names)
    return NamedFunction(names[0])


def check_choice(choice: ToolChoice | None, toolbox: Toolbox) -> None:
    """What can be known of a choice before the servers have said what tools they have. Raises
    InvalidRequest."""
    meant = choice.tools if isinstance(choice, AllowedTools) else [choice]
    for each in meant:
        label = each.server_label if isinstance(each, McpChoice | AllowedTool) else None
        if label is not None and not toolbox.has_server(label):
            _none(label)


def _chosen(choice: ToolChoice, toolbox: Toolbox) -> list[str]:
    """The functions of the tool that must be used; of a hosted tool with several the first one is meant."""
    if isinstance(choice, McpChoice):
        return toolbox.of_server(choice.server_label, choice.name) or _none(
            choice.name or choice.server_label
        )
    name = choice.name if isinstance(choice, FunctionChoice | CustomChoice) else None
    kind = "" if isinstance(choice, str) else str(choice.__struct_config__.tag)
    known = isinstance(choice, FunctionChoice | CustomChoice | HostedChoice)
    return _named(kind, name, toolbox) if known else _none(kind)


def _allowed(choice: AllowedTools, toolbox: Toolbox) -> frozenset[str]:
    """The functions that are left. They need not be searched for, unless searching is left too."""
    missing = toolbox.not_set_up
    there = [tool for tool in choice.tools if tool.type not in missing]
    names = frozenset(name for tool in there for name in _meant(tool, toolbox))
    if choice.mode == "required" and not names:
        _refuse_unavailable({tool.type: missing[tool.type] for tool in choice.tools if tool.type in missing})
        raise _absent("Tool choice 'allowed_tools' must name a tool when its mode is 'required'.")
    if _SEARCH not in names:
        toolbox.reveal(sorted(names))
    return names


def _meant(tool: AllowedTool, toolbox: Toolbox) -> list[str]:
    if tool.type == "mcp":
        label = tool.server_label or ""
        return toolbox.of_server(label, tool.name) or _none(tool.name or label)
    if tool.type == "namespace":
        return toolbox.members(tool.name or "") or _none(tool.name or tool.type)
    if tool.type in ("function", "custom") and tool.name is None:
        return _none(tool.type)
    return _named(tool.type, tool.name, toolbox)


def _named(kind: str, name: str | None, toolbox: Toolbox) -> list[str]:
    if kind in toolbox.not_set_up:
        _refuse_unavailable({kind: toolbox.not_set_up[kind]})
    return toolbox.named(_SAME.get(kind, (kind,)), name) or _none(name or kind)


def _refuse_unavailable(tools: Mapping[str, str]) -> None:
    """Tools that were chosen, and why nobody runs them."""
    for name, why in tools.items():
        message = f"Tool choice '{name}' cannot be required: {why.rstrip('.')}."
        raise InvalidRequest(message, param="tool_choice", code="unsupported_value")


def _none(name: str) -> list[str]:
    raise _absent(f"Tool choice '{name}' not found in 'tools' parameter.")


def _absent(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="tool_choice")
