"""Which JSON schemas are looked at here, and how large any may be.

A schema is plain when it is small, has no keyword whose cost depends on more than the schema's own size,
and does not lead back into itself. What it costs to check a value is then bounded by its weight: the number
of its parts when every reference is followed to its end. All others are for child processes.
"""

from collections.abc import Iterator
from typing import Any

from antiphon.protocol.wire import JsonObject

MOST_VALUES = 20_000
"""Keys and values of a schema. The reference allows 5,000 properties in a strict one."""
MOST_DEPTH = 128
"""Levels of its JSON."""
_PLAIN_VALUES = 1_000
_PLAIN_WEIGHT = 500
_PLAIN_DEPTH = 48

_ANNOTATIONS = frozenset({"$schema", "title", "description", "default", "examples", "$defs", "definitions"})
_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_SIZES = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"})
_BOUNDS = _NUMBERS | _SIZES | {"type", "const", "required"}
_LISTS = frozenset({"anyOf", "oneOf", "allOf"})
_FORMATS = frozenset({"date", "date-time", "time", "email", "uuid", "uri", "ipv4", "ipv6", "hostname"})


def too_large(schema: JsonObject) -> str | None:
    """Why a schema is not looked at, in words; None: it is small enough to be."""
    left = MOST_VALUES
    level: list[Any] = [schema]
    for _ in range(MOST_DEPTH):
        below: list[Any] = []
        for value in level:
            left -= 1 + len(value)
            if left < 0:
                return f"it has more than {MOST_VALUES} keys and values"
            below += _containers(value)
        if not below:
            return None
        level = below
    return f"it is nested more than {MOST_DEPTH} levels deep"


def _containers(value: dict[str, Any] | list[Any]) -> Iterator[Any]:
    inner = value.values() if isinstance(value, dict) else value
    return (each for each in inner if isinstance(each, dict | list))


def weight_of(schema: JsonObject) -> int | None:
    """The weight of a schema that is plain; None: it is not."""
    try:
        return _Scale(schema).weigh(schema, _PLAIN_DEPTH)
    except _NotPlain:
        return None


class _NotPlain(Exception):
    pass


class _Scale:
    """Weighs the parts of one schema. Each definition is weighed once, however often it is used."""

    def __init__(self, root: JsonObject) -> None:
        self._root = root
        self._left = _PLAIN_VALUES
        self._known: dict[str, int] = {}

    def weigh(self, schema: Any, depth: int) -> int:
        """Raises _NotPlain."""
        self._left -= 1
        if not depth or self._left < 0:
            raise _NotPlain
        if isinstance(schema, bool):
            return 1
        if not isinstance(schema, dict):
            raise _NotPlain
        weight = 1 + sum(self._part(keyword, value, depth - 1) for keyword, value in schema.items())
        if weight > _PLAIN_WEIGHT:
            raise _NotPlain
        return weight

    def _part(self, keyword: str, value: Any, depth: int) -> int:
        if keyword in _ANNOTATIONS:
            return 0
        if keyword in _BOUNDS:
            return 1 + (len(value) if isinstance(value, list) else 0)
        if keyword == "properties" and isinstance(value, dict):
            return sum(self.weigh(part, depth) for part in value.values())
        if keyword in ("items", "additionalProperties"):
            return self.weigh(value, depth)
        if keyword in _LISTS and isinstance(value, list):
            return sum(self.weigh(part, depth) for part in value)
        return self._rare_part(keyword, value, depth)

    def _rare_part(self, keyword: str, value: Any, depth: int) -> int:
        if keyword == "enum" and isinstance(value, list):
            return len(value)
        if keyword == "format" and value in _FORMATS:
            return 1
        if keyword == "$ref" and isinstance(value, str):
            return self._definition(value, depth)
        raise _NotPlain

    def _definition(self, reference: str, depth: int) -> int:
        if reference not in self._known:
            self._known[reference] = _PLAIN_WEIGHT + 1  # of one that leads back to itself
            self._known[reference] = self.weigh(self._found(reference), depth)
        return self._known[reference]

    def _found(self, reference: str) -> Any:
        section, _, name = reference.removeprefix("#/").partition("/")
        held = self._root.get(section) if section in ("$defs", "definitions") else None
        if not isinstance(held, dict) or name not in held or "$id" in self._root:
            raise _NotPlain
        return held[name]
