"""Hosted tools that are not set up on this server.

Such a tool is not offered to the model, so it costs no turn: a client that always sends it gets its answer,
and reads of it in `x-antiphon-warnings`. Requiring it is refused, in words that say what to set up.
"""

from collections.abc import Sequence

from antiphon.model import Function
from antiphon.protocol.tools import BaseTool
from antiphon.tools.base import Tool, ToolCall
from antiphon.tools.context import ToolContext

NOT_SET_UP = ("image_generation",)
"""The types of tools that nobody runs here yet."""
NOT_YET = "this server does not run it yet"


class UnavailableTool(Tool):
    """A tool that the model cannot call."""

    executor = "server"

    def __init__(self, why: str | None = NOT_YET) -> None:
        self.unavailable = why

    def functions(self) -> Sequence[Function]:
        return ()

    def call(self, name: str, call_id: str) -> ToolCall:
        raise NotImplementedError("it has no function that could be called")


def unavailable(_tool: BaseTool, _context: ToolContext) -> Tool:
    """Resolves the tools of a type that nobody runs here yet."""
    return UnavailableTool()
