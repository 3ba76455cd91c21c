"""References within JSON schemas: where they lead when a schema becomes part of another."""

from typing import Any

from antiphon.protocol.wire import JsonObject

_NAME = "root"


def moved(schema: Any, to: str) -> Any:
    """A schema whose references to itself lead to the place `to`, a JSON pointer with `#`."""
    if isinstance(schema, list):
        return [moved(entry, to) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: moved(entry, to) for name, entry in schema.items()}
    reference = found.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        found["$ref"] = to + reference[1:]
    return found


def without_root(schema: JsonObject) -> JsonObject:
    """The same schema without references to its root (`#`), which some servers do not know: the root is
    named, and they lead there. References to other places stay as they are."""
    if not _refers_to_root(schema):
        return schema
    definitions = schema.get("$defs")
    defined = definitions if isinstance(definitions, dict) else {}
    name = _NAME
    while name in defined:
        name += "_"
    place = f"#/$defs/{name}"
    root = _led({key: value for key, value in schema.items() if key != "$defs"}, place)
    return {**root, "$defs": {**_led(defined, place), name: root}}


def _refers_to_root(schema: Any) -> bool:
    if isinstance(schema, list):
        return any(map(_refers_to_root, schema))
    if not isinstance(schema, dict):
        return False
    return schema.get("$ref") == "#" or any(map(_refers_to_root, schema.values()))


def _led(schema: Any, place: str) -> Any:
    if isinstance(schema, list):
        return [_led(entry, place) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    led = {name: _led(entry, place) for name, entry in schema.items()}
    return {**led, "$ref": place} if led.get("$ref") == "#" else led
