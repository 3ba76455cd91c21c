"""Tools that come again: an agent sends the same ones with each request of its session.

What was read once is the same object the next time, with all that was made of it since. That holds for tools
of the client's alone: what others are called with has secrets in it.
"""

from functools import cache
from threading import Lock
from typing import Final

import msgspec

from antiphon.protocol.tools import ClientTool, Tool

_LARGEST: Final = 64 * 1024
"""Bytes of a tool that is kept."""
_MOST: Final = 1024 * 1024
"""Bytes of all of them. What is made of them takes several times as much."""
_EACH: Final = 2048
"""Bytes that a tool counts beside its JSON."""


class KnownTools:
    """The tools that were read of late, by their JSON."""

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._known: dict[bytes, Tool] = {}
        self._size = 0
        self._lock = Lock()
        """Large bodies are read in threads."""

    def read(self, raw: msgspec.Raw) -> Tool:
        """Raises what msgspec raises for one that is no tool."""
        json = bytes(raw)
        known = self._known.get(json)
        if known is not None:
            return known
        tool = _decoder().decode(json)
        if isinstance(tool, ClientTool) and len(json) <= _LARGEST:
            tool.keep()
            self._keep(json, tool)
        return tool

    def _keep(self, json: bytes, tool: Tool) -> None:
        with self._lock:
            if json not in self._known:
                self._known[json] = tool
                self._size += len(json) + _EACH
            while self._size > self._most:
                oldest = next(iter(self._known))
                del self._known[oldest]
                self._size -= len(oldest) + _EACH


@cache
def _decoder() -> msgspec.json.Decoder[Tool]:
    return msgspec.json.Decoder(Tool)
