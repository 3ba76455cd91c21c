"""Tools that items of the context bring, and those that were searched for."""

from collections.abc import Iterator

from antiphon.engine.prepare.request_context import RequestContext
from antiphon.protocol.item import Item
from antiphon.protocol.items import AdditionalTools, ToolSearchOutput
from antiphon.protocol.tools import McpTool, Tool
from antiphon.tools.toolbox import Toolbox


def load_tools(toolbox: Toolbox, context: RequestContext) -> None:
    """Offer them. Raises InvalidRequest."""
    if context.words and not toolbox.runs_any:
        return
    inline = iter(context.inline_tools)
    for item, place in _placed(context):
        if isinstance(item, AdditionalTools) and place == "input":
            toolbox.load((tool for tool in item.tools if not _lacks_secrets(tool)), place)
        elif isinstance(item, AdditionalTools):
            toolbox.load(next(inline).tools, place)
        elif isinstance(item, ToolSearchOutput):
            toolbox.load(item.tools, place, "client" if item.call_id else "server")
        else:
            toolbox.remember(item)


def _placed(context: RequestContext) -> Iterator[tuple[Item, str]]:
    """The items, each with where it stands, for faults."""
    yield from ((item, "input") for item in context.history)
    yield from ((item, f"input[{index}]") for index, item in enumerate(context.input))
    yield from ((item, "output") for item in context.output_so_far)


def _lacks_secrets(tool: Tool) -> bool:
    """A server of an earlier turn that asked for secrets can be used when they are sent again."""
    return isinstance(tool, McpTool) and tool.lacks_secrets
