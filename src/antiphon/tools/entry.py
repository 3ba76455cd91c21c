"""A function on offer, with the tool that it belongs to."""

from collections.abc import Collection
from typing import NamedTuple

from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.tools import BaseTool
from antiphon.tools.base import Tool
from antiphon.tools.context import ToolContext


class Entry(NamedTuple):
    """A function that can be called, and the tool that it belongs to."""

    kind: str
    """The tool's type."""
    name: str
    """The tool's own name; a tool without one goes by its type."""
    namespace: str | None
    tool: Tool
    hidden: bool
    """Whether it must be searched for."""
    label: str | None = None
    """The server that has it."""
    callers: Collection[str] = ("direct",)
    """Who may call it: the model, a program of its, or both."""


def entry_of(wire: BaseTool, context: ToolContext, tool: Tool, hidden: bool) -> Entry:
    """The entry of a tool that stands in a request."""
    kind = str(wire.__struct_config__.tag)
    callers = getattr(wire, "allowed_callers", None) or ("direct",)
    return Entry(kind, getattr(wire, "name", kind), context.namespace, tool, hidden, callers=callers)


def duplicate(name: str, entry: Entry, before: Entry, place: str) -> InvalidRequest:
    """The fault of two entries under one name, at a place of the request."""
    ours = [kind for kind in (entry.kind, before.kind) if kind not in ("function", "custom")]
    if len(ours) == 2 and entry.kind == before.kind:
        return InvalidRequest(
            f"Duplicate tool of the type '{entry.kind}'. A request can have one; all that it is to work with "
            "belongs there.",
            param=place,
        )
    why = f": the model knows the tool of the type '{ours[0]}' by it" if ours else ""
    return InvalidRequest(f"Duplicate tool name '{name}'{why}. Names of tools must be unique.", param=place)
