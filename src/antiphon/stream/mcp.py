"""What MCP servers are asked, while they are asked: the listing of their tools, and calls."""

from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from antiphon.protocol import events
from antiphon.protocol.hosted_items import ListedTool, McpListTools
from antiphon.stream.machine import OpenItem


class OpenMcpListing(OpenItem):
    """A server is asked for its tools."""

    def asking(self) -> None:
        self.emit(events.McpListingInProgress(**self.place))

    def listed(self, tools: Sequence[ListedTool]) -> None:
        self.emit(events.McpListingCompleted(**self.place))
        self.finish(replace(cast(McpListTools, self.item), tools=list(tools)))

    def failed(self, error: str) -> None:
        self.emit(events.McpListingFailed(**self.place))
        self.finish(replace(cast(McpListTools, self.item), error=error))
