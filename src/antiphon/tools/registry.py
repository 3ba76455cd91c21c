"""Which file serves which tool type and which item type: the one place where a new tool is named."""

from collections.abc import Callable, Sequence
from typing import Any

from antiphon.backends.base import Function, Message
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.item import Item, item_type
from antiphon.protocol.tools import BaseTool, FunctionTool
from antiphon.protocol.tools import Tool as WireTool
from antiphon.tools import function
from antiphon.tools.base import Recall, Tool

_RESOLVERS: dict[type[BaseTool], Callable[[Any], Tool]] = {
    FunctionTool: function.FunctionOfClient,
}

_RECALLS: dict[str, Recall] = {
    "function_call": function.recall_call,
    "function_call_output": function.recall_output,
}


class Toolbox:
    """The tools of one response: what the model is offered, and whose call a name is."""

    def __init__(self, tools: Sequence[WireTool]) -> None:
        self.functions: list[Function] = []
        self._by_name: dict[str, Tool] = {}
        for index, wire in enumerate(tools):
            self._add(index, wire)

    def tool(self, name: str) -> Tool:
        """The tool that a function's name belongs to. A name that the model made up goes to the client as
        a function call: agents answer it with what is wrong, and the model mends it."""
        return self._by_name.get(name) or function.FunctionOfClient(FunctionTool(name=name))

    def _add(self, index: int, wire: WireTool) -> None:
        tool = resolve(index, wire)
        for offered in tool.functions():
            if offered.name in self._by_name:
                raise InvalidRequest(
                    f"Duplicate tool name '{offered.name}'. Names of tools must be unique.",
                    param=f"tools[{index}]",
                )
            self._by_name[offered.name] = tool
            self.functions.append(offered)


def resolve(index: int, wire: WireTool) -> Tool:
    """The tool behind an entry of `tools`. Raises InvalidRequest for a type that nobody serves yet."""
    resolver = _RESOLVERS.get(type(wire))
    if resolver is None:
        raise InvalidRequest(
            f"Tools of type '{wire.__struct_config__.tag}' are not supported by this server yet.",
            param=f"tools[{index}].type",
            code="unsupported_value",
        )
    return resolver(wire)


def recall(item: Item) -> Sequence[Message] | None:
    """A past item of a tool as messages; None: no tool serves items of its type."""
    recalled = _RECALLS.get(item_type(item))
    return recalled(item) if recalled else None
