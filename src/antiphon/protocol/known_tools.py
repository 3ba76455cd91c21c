"""Tools that come again: an agent sends the same ones with each request of its session, as its `tools` or in
items of its input.

What was read once is the same object the next time, with all that was made of it since. That holds for tools
of the client's alone: what others are called with has secrets in it.
"""

from functools import cache
from threading import Lock
from typing import Any, Final, TypeVar, cast

import msgspec
from msgspec.structs import fields

from antiphon.protocol.tools import ClientTool, Tool

T = TypeVar("T")

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

    def decode(self, json: bytes | msgspec.Raw, kind: type[T]) -> T:
        """What this JSON is, of a kind that has a member `tools`. Raises what msgspec raises for what is
        none."""
        found = _tools_unread(cast(Any, kind)).decode(json)
        if found.tools:
            found.tools = [self.read(raw) for raw in found.tools]
        found.__class__ = kind
        return cast(T, found)

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


KNOWN_TOOLS = KnownTools()
"""Those of requests, and of the items that bring some."""


@cache
def _tools_unread(kind: Any) -> msgspec.json.Decoder[Any]:
    """Reads a kind of struct, and leaves its tools as they came. Nothing else differs: what it reads becomes
    one of that kind when its tools are read."""
    required = next(field.required for field in fields(kind) if field.name == "tools")
    tools: Any = ("tools", list[msgspec.Raw]) if required else ("tools", list[msgspec.Raw] | None, None)
    return msgspec.json.Decoder(msgspec.defstruct(kind.__name__, [tools], bases=(kind,), kw_only=True))


@cache
def _decoder() -> msgspec.json.Decoder[Tool]:
    return msgspec.json.Decoder(Tool)
