"""`allowed_callers`: whether the model calls a tool itself, a program that it wrote does, or either."""

from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.tools import Tool as WireTool
from antiphon.tools.context import ToolContext


def check_callers(wire: WireTool, context: ToolContext) -> None:
    """Raises InvalidRequest for a tool that nobody could call."""
    callers = getattr(wire, "allowed_callers", None)
    if callers is None or "direct" in callers or ("programmatic" in callers and context.programs):
        return
    raise InvalidRequest(
        "Nobody could call this tool: allowed_callers needs 'direct', or 'programmatic' beside a tool of the "
        "type 'programmatic_tool_calling'.",
        param=f"{context.place}.allowed_callers",
        code="unsupported_value",
    )
