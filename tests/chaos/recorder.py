"""The tool: a real MCP server whose side effects are counted. It survives every kill."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

from fastmcp import FastMCP
from tests.chaos.plan import result_of
from tests.tools.mcp_servers import served


class Recorder:
    """How often each key was recorded."""

    def __init__(self) -> None:
        self.recorded: Counter[str] = Counter()
        self.url = ""
        self._random = Random()

    def server(self) -> "FastMCP[Any]":
        server: FastMCP[Any] = FastMCP("recorder")

        @server.tool
        async def record(key: str) -> str:
            """Records a key."""
            # The effect lies in the middle of the time that the call takes: whoever dies meanwhile cannot
            # know on which side of it.
            await asyncio.sleep(self._random.uniform(0, 0.08))
            self.recorded[key] += 1
            await asyncio.sleep(self._random.uniform(0, 0.08))
            return result_of(key)

        return server


@contextmanager
def running() -> Iterator[Recorder]:
    recorder = Recorder()
    with served(recorder.server()) as mcp:
        recorder.url = f"{mcp.url}/mcp"
        yield recorder
