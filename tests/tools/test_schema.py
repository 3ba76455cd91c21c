"""Values against JSON schemas, plain ones and others."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from antiphon.guard.pool import Limits, Pool
from antiphon.tools.plain_schema import MOST_DEPTH, MOST_VALUES, too_large, weight_of
from antiphon.tools.schema import Schema

Json = Any
CITY: Json = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "The city.", "maxLength": 40},
        "unit": {"enum": ["c", "f"]},
        "days": {"type": "array", "items": {"$ref": "#/$defs/day"}},
        "when": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
    },
    "required": ["name", "unit", "days", "when"],
    "additionalProperties": False,
    "$defs": {"day": {"type": "integer", "minimum": 1}},
}
TREE: Json = {
    "$ref": "#/$defs/tree",
    "$defs": {"tree": {"type": "array", "items": {"$ref": "#/$defs/tree"}}},
}


def doubled(branches: int, depth: int) -> Json:
    """A schema that is `branches` to the power of `depth` when it is followed to its ends."""
    defs: Json = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * branches} for n in range(depth)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{depth}": {"type": "string"}}}


def chained(length: int) -> Json:
    defs: Json = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(length)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{length}": {"type": "string"}}}


def nested(depth: int) -> Json:
    schema: Json = {"type": "string"}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


async def fault_of(schema: Schema, value: Json) -> str | None:
    return await schema.fault_of(value, json.dumps(value))


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    pool = Pool()
    yield pool
    await pool.close()


async def test_a_plain_schema_needs_no_child(pool: Pool) -> None:
    schema = Schema(CITY, pool)
    good = {"name": "Rome", "unit": "c", "days": [1], "when": None}

    assert await schema.fault() is None
    assert await fault_of(schema, good) is None
    assert await fault_of(schema, {**good, "unit": "k", "days": [0]}) == (
        'arguments[\'unit\']: "k" is not one of "c" or "f"; '
        "arguments['days'][0]: 0 is less than the minimum of 1"
    )
    assert pool.children == 0


async def test_a_schema_may_refer_to_itself(pool: Pool) -> None:
    schema = Schema(TREE, pool)
    assert await schema.fault() is None
    assert await fault_of(schema, [[], [[]]]) is None
    assert await fault_of(schema, [[1]]) == 'arguments[0][0]: 1 is not of type "array"'
    assert pool.children == 1


@pytest.mark.parametrize(
    "schema",
    [
        TREE,
        {"type": "string", "pattern": "^(a+)+$"},
        {"not": {"type": "string"}},
        {"if": {"type": "string"}, "then": {"maxLength": 1}},
        {"type": "array", "uniqueItems": True},
        {"patternProperties": {"a": {}}},
        {"$ref": "https://example.com/schema"},
        {"$ref": "#/properties/a", "properties": {"a": {}}},
        {"properties": 5},
        {"anyOf": 5},
        {"items": [{}]},
        doubled(2, 12),
        chained(100),
        nested(60),
        {"properties": {f"p{n}": {"type": "string"} for n in range(600)}},
        {"enum": list(range(1000))},
    ],
)
def test_a_schema_is_not_plain(schema: Json) -> None:
    assert weight_of(schema) is None


def test_a_definition_weighs_as_often_as_it_is_used() -> None:
    assert weight_of(doubled(2, 3)) == 38
    assert weight_of(CITY)


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": list(range(MOST_VALUES + 1))},
        {"properties": {f"p{n}": {"enum": ["a"] * 100} for n in range(MOST_VALUES // 100)}},
        nested(MOST_DEPTH + 1),
        {"default": [[]] * MOST_VALUES},
    ],
)
async def test_a_schema_that_is_too_large_is_not_compiled(pool: Pool, schema: Json) -> None:
    assert too_large(schema)
    assert str(await Schema(schema, pool).fault()).startswith("The schema is too large: ")
    assert pool.children == 0


async def test_a_schema_that_its_compiler_has_no_room_for_is_refused_in_words() -> None:
    cramped = Pool(Limits(memory=32 * 2**20))
    assert await Schema(chained(6_000), cramped).fault() == (
        "The schema is too complex: it could not be compiled within this server's limits."
    )
    await cramped.close()


async def test_a_value_that_costs_too_much_to_explain_is_refused_all_the_same(pool: Pool) -> None:
    schema = Schema(doubled(2, 22), pool)
    assert await schema.fault() is None
    assert await fault_of(schema, "a") is None
    assert await fault_of(schema, 5) == "arguments do not fit the schema, which is too complex to say where."


async def test_a_value_that_is_nested_deeply_is_judged(pool: Pool) -> None:
    deep: Json = []
    for _ in range(900):
        deep = [deep]
    assert await fault_of(Schema({"type": "array", "items": {}}, pool), deep) is None
    assert await Schema(TREE, pool).fault_of(None, "[" * 5000 + "]" * 5000)


async def test_a_fault_does_not_repeat_a_long_value(pool: Pool) -> None:
    fault = await fault_of(Schema({"type": "integer"}, pool), "x" * 10_000)
    assert len(str(fault)) < 400
