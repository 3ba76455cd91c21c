"""Hosted tools that are not set up on this server.

Such a tool is not offered to the model, so it costs no turn: a client that always sends it gets its answer,
and reads of it in `x-antiphon-warnings`. Requiring it is refused, in words that say what to set up.
"""

from collections.abc import Sequence

from antiphon.model import Function
from antiphon.tools.base import Tool, ToolCall


class UnavailableTool(Tool):
    """A tool that the model cannot call."""

    executor = "server"

    def __init__(self, why: str) -> None:
        self.unavailable = why

    def functions(self) -> Sequence[Function]:
        return ()

    def call(self, name: str, call_id: str) -> ToolCall:
        raise NotImplementedError("it has no function that could be called")
