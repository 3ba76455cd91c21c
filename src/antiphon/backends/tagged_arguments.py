"""Arguments that stand between tags, each a text: what they are as JSON is said by the function's schema."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from antiphon.model import Function
from antiphon.protocol.wire import JsonObject

_PARAMETER = re.compile(
    r"""\s*<(?:｜DSML｜)?parameter(?:=|\s+name=)"?([^"<>]{1,160}?)"?(?:\s+string="(true|false)")?\s*>"""
    r"(.*?)</(?:｜DSML｜)?parameter>(?=\s*(?:<(?:｜DSML｜)?parameter|\Z))",
    re.S,
)
"""Qwen-Coder, MiniMax and DeepSeek. A value may speak of the closing tag: it ends where another parameter
begins, or nothing."""
_PAIR = re.compile(r"\s*<arg_key>\s*([^<]{1,160}?)\s*</arg_key>\s*<arg_value>(.*?)</arg_value>", re.S)
"""GLM."""
_NONE = "null"


_Entry = tuple[str, Any] | None
"""A name and its value; None behind the last when there is more than entries."""


def whole(entries: Iterable[_Entry]) -> str | None:
    """The arguments as a JSON object; None when there is more than they say."""
    found = {}
    for entry in entries:
        if entry is None:
            return None
        found[entry[0]] = entry[1]
    return _json(found)


def beginning(entries: Iterable[_Entry]) -> str:
    """The beginning of the arguments, as far as they are whole."""
    return _json(dict(entry for entry in entries if entry is not None))[:-1]


def _parameters(body: str, function: Function) -> Iterator[_Entry]:
    types, at = function.parameters.get("properties") or {}, 0
    while found := _PARAMETER.match(body, at):
        at = found.end()
        name, kind, value = found[1], found[2], found[3]
        yield name, _value(_unframed(value), _schema_of(kind) or types.get(name))
    if body[at:].strip():
        yield None


def _pairs(body: str, function: Function) -> Iterator[_Entry]:
    types, at = function.parameters.get("properties") or {}, 0
    while found := _PAIR.match(body, at):
        at = found.end()
        yield found[1], _value(found[2], types.get(found[1]))
    if body[at:].strip():
        yield None


TAGGED: Mapping[str, Callable[[str, Function], Iterator[_Entry]]] = {
    "parameters": _parameters,
    "pairs": _pairs,
}
"""The arguments in a body, by what its syntax reads."""


# ---- values -----------------------------------------------------------------------------------------


def _schema_of(string: str | None) -> JsonObject | None:
    """DeepSeek says of each parameter whether it is a string."""
    if string is None:
        return None
    return {"type": "string"} if string == "true" else {"type": "object"}


def _unframed(text: str) -> str:
    """Without the line breaks that set a value apart from its tags."""
    return text.removeprefix("\n").removesuffix("\n")


def _value(text: str, schema: Any) -> Any:
    """The value that a text stands for: itself where the schema says string, or nothing."""
    types = _types(schema)
    plain = text.strip()
    if types <= {"string"}:
        return text
    if "boolean" in types and plain.lower() in ("true", "false"):
        return plain.lower() == "true"
    if "null" in types and plain.lower() in (_NONE, "none"):
        return None
    try:
        value = msgspec.json.decode(plain)
    except (msgspec.DecodeError, RecursionError):
        return text
    return text if "string" in types and not _is_one_of(value, types) else msgspec.Raw(plain.encode())


def _types(schema: Any) -> set[str]:
    """The JSON types that a schema allows, as far as it says so plainly."""
    if not isinstance(schema, dict):
        return set()
    said = schema.get("type")
    found = {said} if isinstance(said, str) else set(said) if isinstance(said, list) else set()
    for branch in (*(schema.get("anyOf") or ()), *(schema.get("oneOf") or ())):
        found |= _types(branch)
    return found


_PYTHON: dict[str, tuple[type, ...]] = {
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


def _is_one_of(value: Any, types: set[str]) -> bool:
    kinds = {kind for name in types for kind in _PYTHON.get(name, ())}
    return type(value) in kinds


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
