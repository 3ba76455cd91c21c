"""What `model_dump()` of the official SDK writes that the wire does not know: names of Python where the
wire's own is taken, and what its helpers read in an answer."""

from typing import Any

_NAMES = {"async_": "async", "schema_": "schema"}
_READ = ("parsed", "parsed_arguments")
_NESTED = ("tools", "format", "content")
"""Where such members may stand further inside. Schemas are the client's own, and not looked into."""
_LEVELS = 5
"""How far inside: the tools of a namespace that an item brings."""


def mend_body(body: dict[str, Any]) -> bool:
    """Mend the tools and the format of a body in place. Whether there was anything to mend."""
    return mend(body.get("tools")) + mend(body.get("text")) > 0


def mend(value: Any, levels: int = _LEVELS) -> bool:
    """Mend an item, a tool or several of them in place: such members get their names on the wire, or are left
    out when they are null. Whether there were any."""
    if levels == 0:
        return False
    if isinstance(value, list):
        return sum(mend(each, levels - 1) for each in value) > 0
    if not isinstance(value, dict):
        return False
    found = sum(_rename(value, name) for name in _NAMES) + sum(_drop(value, name) for name in _READ)
    return sum(mend(value.get(name), levels - 1) for name in _NESTED) + found > 0


def _rename(value: dict[str, Any], name: str) -> bool:
    if name not in value:
        return False
    given = value.pop(name)
    if given is not None:
        value.setdefault(_NAMES[name], given)
    return True


def _drop(value: dict[str, Any], name: str) -> bool:
    found = name in value
    value.pop(name, None)
    return found
