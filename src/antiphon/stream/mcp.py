"""What MCP servers are asked, as it is told: the listing of their tools, and calls."""

from collections.abc import Sequence
from typing import Any, cast

from msgspec.structs import replace

from antiphon.protocol import events
from antiphon.protocol.events import ItemEvent, event_type
from antiphon.protocol.hosted_items import (
    HttpError,
    ListedTool,
    McpCall,
    McpListTools,
    McpProtocolError,
    McpToolExecutionError,
)
from antiphon.stream.machine import ItemStatus, OpenItem

McpCallError = McpProtocolError | McpToolExecutionError | HttpError


class _OpenMcp(OpenItem):
    def _tell(self, kind: type[ItemEvent], **members: Any) -> None:
        self.step(event_type(kind))
        self.machine.emit(kind(item_id=self.item_id, output_index=self.output_index, **members))


class OpenMcpListing(_OpenMcp):
    """A server is asked for its tools."""

    def asking(self) -> None:
        self._tell(events.McpListingInProgress)

    def listed(self, tools: Sequence[ListedTool]) -> None:
        self._tell(events.McpListingCompleted)
        self.finish(replace(cast(McpListTools, self.item), tools=list(tools)))

    def failed(self, error: str) -> None:
        self._tell(events.McpListingFailed)
        self.finish(replace(cast(McpListTools, self.item), error=error))

    def close(self, status: ItemStatus = "completed") -> None:
        """It is given up."""
        self.finish(replace(cast(McpListTools, self.item), error="The response ended before the answer."))


class OpenMcpCall(_OpenMcp):
    """A call of a server's tool."""

    _arguments: str | None = None

    def begin(self) -> None:
        self._pieces: list[str] = []
        self._tell(events.McpCallInProgress)

    def arguments(self, delta: str) -> None:
        """A piece of the arguments' JSON."""
        self._pieces.append(delta)
        self._tell(events.McpArgumentsDelta, delta=delta)

    def close(self, status: ItemStatus = "completed") -> None:
        """The call is whole; it is still open for its outcome, unless it is given up."""
        if self._arguments is None:
            self._arguments = "".join(self._pieces)
            self._tell(events.McpArgumentsDone, arguments=self._arguments)
        if status == "incomplete":
            self.finish(self._item("incomplete"))

    def answered(self, output: str) -> None:
        self._tell(events.McpCallCompleted)
        self.finish(replace(self._item("completed"), output=output))

    def failed(self, error: McpCallError) -> None:
        self._tell(events.McpCallFailed)
        self.finish(replace(self._item("failed"), error=error))

    def _item(self, status: Any) -> McpCall:
        return replace(cast(McpCall, self.item), arguments=self._arguments or "", status=status)
