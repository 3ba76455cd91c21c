"""References within schemas that lead elsewhere than the server knows."""

from typing import Any

import jsonschema_rs
import pytest

from antiphon.backends.references import without_root

TREE: Any = {
    "type": "object",
    "properties": {"child": {"$ref": "#"}, "n": {"type": "integer"}},
    "required": ["n"],
}
NAMED: Any = {
    "type": "object",
    "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/root"}}},
    "$defs": {"root": {"type": "object", "properties": {"up": {"$ref": "#"}}, "required": ["up"]}},
}


def references(schema: Any) -> set[str]:
    if isinstance(schema, list):
        return set().union(*map(references, schema))
    if not isinstance(schema, dict):
        return set()
    own = {schema["$ref"]} if isinstance(schema.get("$ref"), str) else set()
    return own.union(*map(references, schema.values()))


def test_a_schema_without_any_stays_as_it_is() -> None:
    schema = {"$defs": {"a": {"type": "string"}}, "properties": {"b": {"$ref": "#/$defs/a"}}}
    assert without_root(schema) is schema


@pytest.mark.parametrize("schema", [TREE, NAMED])
def test_none_is_left_to_the_root_and_the_others_lead_where_they_led(schema: Any) -> None:
    led = without_root(schema)
    assert "#" not in references(led)
    for pointer in references(led):
        place = led
        for step in pointer.split("/")[1:]:
            place = place[step]
    values: list[Any] = [
        {"n": 1},
        {"n": 1, "child": {"n": 2}},
        {"n": 1, "child": {"n": "2"}},
        {"n": 1, "child": {"n": 1, "child": {}}},
        {"children": [{"up": {}}]},
        {"children": [{"up": {"children": [{}]}}]},
        {"children": [{}]},
        7,
    ]
    before, after = jsonschema_rs.validator_for(schema), jsonschema_rs.validator_for(led)
    assert [after.is_valid(value) for value in values] == [before.is_valid(value) for value in values]
