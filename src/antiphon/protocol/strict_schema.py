"""Which JSON schemas `strict` allows: the reference's rules for strict functions and structured outputs."""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import msgspec

from antiphon.protocol.wire import JsonObject, encode

Context = tuple[str, ...]

_DEPTH = 10
"""Levels of objects and lists in a schema that is strict without being called so."""
_TYPES = frozenset(("string", "number", "integer", "boolean", "object", "array", "null"))
_FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"),
)
_WORDS = frozenset(("title", "description", "$schema"))
_BOUNDS = frozenset(("maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"))
_COUNTS = frozenset(("minItems", "maxItems"))
_PARTS = frozenset(("properties", "$defs", "definitions"))
_LARGEST = 16 * 1024
"""Bytes."""


def laxities(schema: Any, context: Context = ()) -> Iterator[tuple[Context, str]]:
    """Where a schema lets a value have more or fewer members than it names, and what is wrong there."""
    if isinstance(schema, list):
        for index, part in enumerate(schema):
            yield from laxities(part, (*context, str(index)))
        return
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" or "properties" in schema:
        yield from ((context, reason) for reason in _lax(schema))
    for key in ("items", "anyOf"):
        yield from laxities(schema.get(key), (*context, key))
    for key in ("properties", "$defs", "definitions"):
        named = schema.get(key)
        for name, part in named.items() if isinstance(named, dict) else ():
            yield from laxities(part, (*context, key, name))


def _lax(schema: JsonObject) -> Iterator[str]:
    if schema.get("additionalProperties") is not False:
        yield "'additionalProperties' is required to be supplied and to be false."
    given = schema.get("required")
    required = {name for name in given if isinstance(name, str)} if isinstance(given, list) else set()
    for name in schema.get("properties") or ():
        if name not in required:
            yield (
                "'required' is required to be supplied and to be an array including every key in "
                f"properties. Missing '{name}'."
            )


# ---- strict without being called so -----------------------------------------------------------------


def allows_strict(schema: JsonObject | None) -> bool:
    """Whether a function whose `strict` was left out is strict: no strict server would refuse its schema."""
    if not schema or schema.get("type") != "object" or schema.get("additionalProperties") is not False:
        return False
    return _allows(encode(schema))


@lru_cache(256)
def _allows(schema: bytes) -> bool:
    if len(schema) > _LARGEST:
        return False
    root: JsonObject = msgspec.json.decode(schema)
    return _is_known(root, root, _DEPTH) and not any(laxities(root))


def _is_known(schema: Any, root: JsonObject, levels: int) -> bool:
    """Whether a part of the schema is made of what strict servers know."""
    if not isinstance(schema, dict) or levels == 0:
        return False
    return all(_is_known_part(name, part, root, levels - 1) for name, part in schema.items())


def _is_known_part(name: str, part: Any, root: JsonObject, levels: int) -> bool:
    if name in _PARTS:
        return isinstance(part, dict) and all(_is_known(each, root, levels) for each in part.values())
    if name == "items":
        return _is_known(part, root, levels)
    if name == "anyOf":
        return isinstance(part, list) and bool(part) and all(_is_known(each, root, levels) for each in part)
    if name == "$ref":
        return part == "#" or part in _definitions(root)
    return _is_pattern(part) if name == "pattern" else _is_known_word(name, part)


def _is_known_word(name: str, part: Any) -> bool:
    if name == "type":
        kinds = part if isinstance(part, list) else [part]
        return bool(kinds) and all(isinstance(kind, str) and kind in _TYPES for kind in kinds)
    if name in _BOUNDS or name == "multipleOf":
        return type(part) in (int, float) and (name in _BOUNDS or part > 0)
    if name in _COUNTS:
        return type(part) is int and part >= 0
    if name in ("enum", "required"):
        return isinstance(part, list) and (bool(part) or name == "required")
    if name == "format":
        return isinstance(part, str) and part in _FORMATS
    return name in ("const", "additionalProperties") or (name in _WORDS and isinstance(part, str))


def _definitions(root: JsonObject) -> set[str]:
    """What a reference may lead to."""
    return {
        f"#/{key}/{name}"
        for key in ("$defs", "definitions")
        if isinstance(root.get(key), dict)
        for name in root[key]
    }


def _is_pattern(part: Any) -> bool:
    try:
        re.compile(part)
    except (re.error, TypeError, RecursionError, OverflowError):
        return False
    return True
