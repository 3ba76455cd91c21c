"""What `model_dump()` of the official SDK writes that the wire does not know: names of Python where the
wire's own is taken, and what its helpers read in an answer."""

from typing import Any

_NAMES = {"async_": "async", "schema_": "schema"}
_READ = ("parsed", "parsed_arguments")
_NESTED = ("tools", "format", "content")
"""Where such members may stand further inside. Schemas are the client's own, and not looked into."""
_LEVELS = 5
"""How far inside: the tools of a namespace that an item brings."""


def mend_body(body: dict[str, Any]) -> None:
    """Mend the tools, the format and the items of a body in place."""
    mend(body.get("tools"))
    mend(body.get("text"))
    mend(body.get("input"), _LEVELS + 1)


def mend(value: Any, levels: int = _LEVELS) -> None:
    """Mend an item, a tool or several of them in place: such members get their names on the wire, or are left
    out when they are null."""
    if levels == 0:
        return
    if isinstance(value, list):
        for each in value:
            mend(each, levels - 1)
    elif isinstance(value, dict):
        _rename(value)
        for name in _READ:
            value.pop(name, None)
        for name in _NESTED:
            mend(value.get(name), levels - 1)


def _rename(value: dict[str, Any]) -> None:
    for name, wire in _NAMES.items():
        given = value.pop(name, None)
        if given is not None:
            value.setdefault(wire, given)
