"""`namespace`: a named group of functions and custom tools.

Its members are offered as functions of their own (`names.offered_name`); their calls carry the name of the
group. What the group is for stands with its first member.
"""

from collections.abc import Iterator

from msgspec.structs import replace

from antiphon.protocol.tools import CustomTool, FunctionTool, NamespaceTool
from antiphon.tools.context import ToolContext


def members(
    group: NamespaceTool, context: ToolContext
) -> Iterator[tuple[FunctionTool | CustomTool, ToolContext]]:
    """The tools of a group, each with its own context."""
    about = f"About the group '{group.name}': {group.description}" if group.description else ""
    for index, tool in enumerate(group.tools):
        place = f"{context.place}.tools[{index}]"
        yield tool, replace(context, place=place, namespace=group.name, about="" if index else about)
