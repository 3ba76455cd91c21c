"""Real MCP servers for tests: FastMCP over both transports, and a plain HTTP server that misbehaves."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from fastmcp import Context, FastMCP
from fastmcp.utilities.types import Image
from mcp.types import EmbeddedResource, ImageContent, TextContent, TextResourceContents, ToolAnnotations
from tests.served import Served

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class ServedMcp(Served):
    """An MCP server."""

    def __init__(self, app: Any) -> None:
        super().__init__(app, log_level="critical", timeout_graceful_shutdown=1)


class Meeting:
    """Calls that wait until all of them are there: they are made at once."""

    def __init__(self, size: int) -> None:
        self._missing = size
        self._complete = asyncio.Event()

    async def wait(self) -> None:
        self._missing -= 1
        if self._missing == 0:
            self._complete.set()
        await self._complete.wait()


class Toolset:
    """What the servers offer, and what came to them."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.meta: list[dict[str, Any]] = []
        self.begun = threading.Event()
        self.ended = threading.Event()
        self.meeting = Meeting(20)

    def server(self, **options: Any) -> "FastMCP[Any]":
        server: FastMCP[Any] = FastMCP("things", **options)
        self._plain(server)
        self._rich(server)
        self._long(server)
        return server

    def _plain(self, server: "FastMCP[Any]") -> None:
        @server.tool(annotations=ToolAnnotations(read_only_hint=True))
        def add(a: int, b: int) -> int:
            """Adds two numbers."""
            from fastmcp.server.dependencies import get_context, get_http_headers

            self.called.append("add")
            asked = get_context().request_context
            self.meta.append(dict(asked.meta or {}) if asked is not None else {})
            self.headers.append(dict(get_http_headers(include_all=True)))
            return a + b

        @server.tool
        def delete(name: str) -> str:
            """Removes a thing."""
            self.called.append(f"delete {name}")
            return f"{name} is gone"

        @server.tool
        def fail() -> str:
            """Never works."""
            raise ValueError("out of order")

    def _rich(self, server: "FastMCP[Any]") -> None:
        @server.tool
        def picture() -> list[ImageContent | TextContent]:
            """Draws."""
            return [
                TextContent(type="text", text="A dot:"),
                ImageContent(type="image", data=PIXEL, mime_type="image/png"),
            ]

        @server.tool
        def document() -> EmbeddedResource:
            """Reads."""
            return EmbeddedResource(
                type="resource", resource=TextResourceContents(uri="doc://1", text="The text.")
            )

    def _long(self, server: "FastMCP[Any]") -> None:
        @server.tool
        async def wait(context: Context) -> str:
            """Waits for ever."""
            self.begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.ended.set()
            return "never"

        @server.tool
        async def meet() -> str:
            """Waits until twenty are there."""
            await self.meeting.wait()
            return "met"


@contextlib.contextmanager
def served(server: "FastMCP[Any]", transport: Any = "http") -> Iterator[ServedMcp]:
    with ServedMcp(server.http_app(transport=transport, path="/mcp")) as running:
        yield running


__all__ = ["PIXEL", "Image", "Served", "Toolset", "served"]
