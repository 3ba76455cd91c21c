"""The tools that a server lists, in the form that the library takes.

It holds a whole page of them against the protocol: one tool whose schema is `{}`, or none at all, would take
all others with it.
"""

from typing import Any

from mcp.types import Tool
from pydantic import ValidationError

_NEEDED = ("name", "description", "inputSchema")


def mend(result: Any) -> None:
    """Mend a result of a request in place, if it is a listing. Tools without a name are left out, unless
    none has one."""
    tools = result.get("tools") if isinstance(result, dict) else None
    named = [tool for tool in tools if _is_named(tool)] if isinstance(tools, list) else []
    if named:
        result["tools"] = [_mended(tool) for tool in named]


def _is_named(tool: Any) -> bool:
    return isinstance(tool, dict) and isinstance(tool.get("name"), str)


def _mended(tool: dict[str, Any]) -> dict[str, Any]:
    tool = {**tool, "inputSchema": _of_an_object(tool.get("inputSchema"))}
    if "outputSchema" in tool and _of_an_object(tool["outputSchema"]) != tool["outputSchema"]:
        del tool["outputSchema"]
    try:
        Tool.model_validate(tool)
    except ValidationError:
        tool = {name: tool[name] for name in _NEEDED if isinstance(tool.get(name), str | dict)}
    return tool


def _of_an_object(schema: Any) -> dict[str, Any]:
    """The schema, if arguments can be held to it; else that of any object."""
    if not isinstance(schema, dict):
        return {"type": "object"}
    kind = schema.get("type", "object")
    if kind != "object" and not (isinstance(kind, list) and "object" in kind):
        return {"type": "object"}
    fits = isinstance(schema.get("properties", {}), dict)
    return {name: part for name, part in schema.items() if fits or name != "properties"} | {"type": "object"}
