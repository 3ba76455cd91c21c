"""`namespace`: a named group of functions and custom tools.

Its members are offered as functions of their own (`names.offered_name`); their calls carry the name of the
group. What the group is for stands with its first member.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from antiphon.protocol.tools import NamespaceTool
from antiphon.protocol.tools import Tool as WireTool
from antiphon.tools.context import ToolContext


def members(wire: WireTool, context: ToolContext) -> Iterator[tuple[WireTool, ToolContext]]:
    """The tools of a group, each with its own context; another tool is by itself."""
    if not isinstance(wire, NamespaceTool):
        yield wire, context
        return
    about = f"About the group '{wire.name}': {wire.description}" if wire.description else ""
    for index, tool in enumerate(wire.tools):
        place = f"{context.place}.tools[{index}]"
        yield tool, replace(context, place=place, namespace=wire.name, about="" if index else about)
