"""JSON schemas as the Messages API holds models to them: every object closed.

Source: Anthropic's guide to structured outputs, JSON schema limitations.
"""

from typing import Any

from antiphon.protocol.wire import JsonObject

_OPEN = ("allOf", "patternProperties", "unevaluatedProperties", "if", "not", "dependentSchemas")


def closed(schema: JsonObject) -> JsonObject | None:
    """A schema whose objects have no members but those that it names. What fits it fits the given one, too;
    None: there is none, since it wants objects whose members it does not name."""
    try:
        found = _closed(schema)
    except _Open:
        return None
    assert isinstance(found, dict)
    return found


class _Open(Exception):
    """An object that cannot be closed."""


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if any(name in schema for name in _OPEN):
        raise _Open
    found = {name: _member(name, value) for name, value in schema.items()}
    if _is_object(schema):
        if schema.get("additionalProperties") not in (None, False) or not schema.get("properties"):
            raise _Open
        found["additionalProperties"] = False
    return found


def _member(name: str, value: Any) -> Any:
    """Names of properties are no keywords, and values are no schemas."""
    if name in ("properties", "$defs", "definitions") and isinstance(value, dict):
        return {each: _closed(schema) for each, schema in value.items()}
    return value if name in ("enum", "const", "default", "examples", "required") else _closed(value)


def _is_object(schema: JsonObject) -> bool:
    kind = schema.get("type")
    return kind == "object" or "properties" in schema or (isinstance(kind, list) and "object" in kind)
