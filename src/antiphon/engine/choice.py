"""What `tool_choice` means for the turn: which functions are offered, and how the model may use them."""

from collections.abc import Sequence

from antiphon.backends.base import Choice, Function, NamedFunction
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.tool_choice import AllowedTools, FunctionChoice, ToolChoice


def resolve_choice(
    choice: ToolChoice | None, functions: Sequence[Function]
) -> tuple[Choice, Sequence[Function]]:
    """The choice, and the functions that it leaves. Raises InvalidRequest when it names a tool that is
    not there."""
    if choice is None or choice == "auto" or choice == "none":
        return choice or "auto", functions
    if choice == "required":
        if not functions:
            raise _absent("Tool choice 'required' must be specified with 'tools' parameter.")
        return "required", functions
    if isinstance(choice, FunctionChoice):
        _named(choice.name, functions)
        return NamedFunction(choice.name), functions
    if isinstance(choice, AllowedTools):
        return choice.mode, _allowed(choice, functions)
    raise _absent(f"Tool choice '{choice.__struct_config__.tag}' not found in 'tools' parameter.")


def _allowed(choice: AllowedTools, functions: Sequence[Function]) -> Sequence[Function]:
    """The functions that are left. One that is named twice is offered once."""
    left = {}
    for tool in choice.tools:
        if tool.type != "function" or tool.name is None:
            raise _absent(f"Tool choice '{tool.name or tool.type}' not found in 'tools' parameter.")
        left[tool.name] = _named(tool.name, functions)
    if choice.mode == "required" and not left:
        raise _absent("Tool choice 'allowed_tools' must name a tool when its mode is 'required'.")
    return list(left.values())


def _named(name: str, functions: Sequence[Function]) -> Function:
    for function in functions:
        if function.name == name:
            return function
    raise _absent(f"Tool choice '{name}' not found in 'tools' parameter.")


def _absent(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="tool_choice")
