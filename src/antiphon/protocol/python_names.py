"""Members under the names that the official SDK has for them in Python, where the wire's own name is taken:
`model_dump()` writes `async_` and `schema_`."""

from typing import Any

_NAMES = {"async_": "async", "schema_": "schema"}
_NESTED = ("tools", "text", "format")
"""Where such members may stand further inside. Schemas are the client's own, and not looked into."""
_LEVELS = 5
"""How far inside: the tools of a namespace that an item brings."""


def rename(value: Any, levels: int = _LEVELS) -> bool:
    """Give such members of a body, an item or a tool their names on the wire; those that are null are left
    out. Whether there were any."""
    if levels == 0:
        return False
    if isinstance(value, list):
        return sum(rename(each, levels - 1) for each in value) > 0
    if not isinstance(value, dict):
        return False
    found = sum(_rename(value, name) for name in _NAMES)
    return sum(rename(value.get(name), levels - 1) for name in _NESTED) + found > 0


def _rename(value: dict[str, Any], name: str) -> bool:
    if name not in value:
        return False
    given = value.pop(name)
    if given is not None:
        value.setdefault(_NAMES[name], given)
    return True
