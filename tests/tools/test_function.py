"""`function`: strictness, and the members that say how a function is offered."""

import pytest
from openai import OpenAI
from tests.api.asking import Json, Like, refused
from tests.ledger import covers
from tests.scripted import Answer, Called, Upstream
from tests.tools.using import ask, calls, emitted, offered, only, read, stream

from antiphon.backends.dialects import GENERIC, OPENAI
from antiphon.backends.payload import capabilities
from antiphon.protocol.tools import FunctionTool
from antiphon.tools.context import ToolContext
from antiphon.tools.function import ClientFunction

PLACE: Json = {
    "type": "function",
    "name": "place",
    "parameters": {
        "type": "object",
        "properties": {"x": {"type": "integer"}, "unit": {"enum": ["m", "km"]}},
        "required": ["x", "unit"],
        "additionalProperties": False,
    },
    "strict": True,
}
GOOD = '{"unit": "km", "x": 1}'


@covers("tool.function.strict")
@pytest.mark.parametrize(
    "wrong", ['{"x": "1", "unit": "m"}', '{"x": 1}', '{"x": 1, "unit": "m", "y": 2}', '{"x": 1', "[]"]
)
def test_a_strict_call_that_does_not_fit_is_asked_for_again(
    client: OpenAI, upstream: Upstream, wrong: str
) -> None:
    upstream.script(calls("place", wrong, 3), calls("place", GOOD, 3))

    events = stream(client, PLACE)

    assert [event["item"]["arguments"] for event in events if "item" in event] == ["", GOOD]
    assert "place" in read(upstream)[-1]["content"]


def test_a_strict_call_is_emitted_when_it_is_whole(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("place", GOOD, 3))

    assert emitted(stream(client, PLACE)).count("function_call_arguments.delta") == 1


LOOSE: Json = PLACE["parameters"] | {"additionalProperties": True}


@pytest.mark.parametrize(
    "members", [{"strict": False}, {"strict": None, "parameters": LOOSE}], ids=["not strict", "loose"]
)
def test_a_call_that_is_not_strict_is_emitted_as_it_is_written(
    client: OpenAI, upstream: Upstream, members: Json
) -> None:
    upstream.script(calls("place", '{"x": "wrong"}', 3))

    events = stream(client, PLACE | members)

    assert emitted(events).count("function_call_arguments.delta") > 3
    assert events[-2]["item"]["arguments"] == '{"x": "wrong"}'


def test_a_model_that_never_fits_fails_the_response(client: OpenAI, upstream: Upstream) -> None:
    upstream.default = calls("place", "{}")

    failed = ask(client, PLACE)

    assert (failed["status"], failed["output"]) == ("failed", [])
    assert failed["error"] == {"code": "server_error", "message": Like(".*not valid, 4 times.*")}


def test_text_before_a_call_that_is_held_is_emitted_at_once(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("I look.", calls=[Called("place", "{}")]), Answer(calls=[Called("place", GOOD)]))

    items = ask(client, PLACE)["output"]

    assert [item["type"] for item in items] == ["message", "function_call"]


def test_an_upstream_that_keeps_to_schemas_is_trusted() -> None:
    assert capabilities(OPENAI).strict_tools
    assert not capabilities(GENERIC).strict_tools
    tool = FunctionTool(name="f", parameters={"type": "nonsense"}, strict=True)
    assert not ClientFunction(tool, ToolContext(checks_strict=False)).call("f", "call_1").held


@pytest.mark.parametrize(
    "schema",
    [{"type": "objekt"}, {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:1/schema"}}}],
)
def test_a_strict_schema_that_makes_no_sense_is_refused(
    client: OpenAI, upstream: Upstream, schema: Json
) -> None:
    with refused(400, "invalid_function_parameters", "tools[0].parameters"):
        ask(client, PLACE | {"parameters": schema})
    assert upstream.requests == []


# ---- strictness that is left out ---------------------------------------------------------------------

UNTOLD: Json = {name: value for name, value in PLACE.items() if name != "strict"}


@covers("tool.function.strict")
@pytest.mark.parametrize("untold", [UNTOLD, UNTOLD | {"strict": None}], ids=["left out", "null"])
def test_a_function_is_strict_where_its_schema_allows_it(
    client: OpenAI, upstream: Upstream, untold: Json
) -> None:
    upstream.script(calls("place", '{"x": "1", "unit": "m"}'), calls("place", GOOD))

    answer = ask(client, untold)

    assert only(answer)["arguments"] == GOOD
    assert answer["tools"][0]["strict"] is True
    assert offered(upstream)["place"]["strict"] is True


def within(part: Json) -> Json:
    """A schema that is strict but for a part of it."""
    return {"type": "object", "properties": {"x": part}, "required": ["x"], "additionalProperties": False}


TIGHT: list[Json] = [
    within({"type": ["string", "null"], "description": "X", "enum": ["a", None]}),
    within({"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": 3}),
    within({"anyOf": [within({"type": "boolean"}), {"type": "null"}]}),
    within({"$ref": "#/$defs/y"}) | {"$defs": {"y": within({"const": 1})}},
    within({"type": "string", "pattern": "^a+$"}),
    within({"type": "string", "format": "date"})
    | {"$schema": "https://json-schema.org/draft/2020-12/schema"},
    {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
]


@pytest.mark.parametrize("schema", TIGHT, ids=str)
def test_a_schema_that_says_all_is_strict(client: OpenAI, upstream: Upstream, schema: Json) -> None:
    upstream.script(Answer("Hi"))
    assert ask(client, UNTOLD | {"parameters": schema})["tools"][0]["strict"] is True


LAX: list[Json | None] = [
    None,
    {},
    {"type": "object"},
    {"type": "object", "properties": {"x": {"type": "string"}}, "additionalProperties": False},
    within({"type": "object"}),
    within({"type": "string", "default": "a"}),
    within({"type": "string", "minLength": 1}),
    within({"type": "string", "format": "uri"}),
    within({"type": "string", "pattern": "("}),
    within({"type": "objekt"}),
    within({"$ref": "#/$defs/absent"}),
    within({"$ref": "https://127.0.0.1:1/schema"}),
    within({"oneOf": [{"type": "string"}]}),
    within({"enum": []}),
    within({"enum": ["x" * 20_000]}),
    {"type": "object", "properties": [], "additionalProperties": False},
]


@pytest.mark.parametrize("schema", LAX, ids=lambda schema: str(schema)[:80])
def test_a_schema_that_leaves_something_open_is_not_strict(
    client: OpenAI, upstream: Upstream, schema: Json | None
) -> None:
    upstream.lenient = True
    upstream.script(calls("place", '{"z": 1}'))

    answer = ask(client, UNTOLD | {"parameters": schema})

    assert only(answer)["arguments"] == '{"z": 1}'
    assert answer["tools"][0]["strict"] is False
    assert "strict" not in offered(upstream)["place"]


def test_functions_of_a_namespace_say_what_became_of_strict(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("maps__place", "{}"), calls("maps__place", GOOD))
    space: Json = {"type": "namespace", "name": "maps", "description": "Maps.", "tools": [UNTOLD]}

    answer = ask(client, space)

    assert answer["tools"][0]["tools"][0]["strict"] is True
    assert only(answer)["arguments"] == GOOD


# ---- how a function is offered ----------------------------------------------------------------------


@covers("tool.function.output_schema")
def test_the_model_reads_what_a_function_returns(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hi"))
    returns = {"type": "object", "properties": {"celsius": {"type": "number"}}}

    ask(client, PLACE | {"description": "Finds.", "output_schema": returns})

    said = '{"type":"object","properties":{"celsius":{"type":"number"}}}'
    assert (
        offered(upstream)["place"]["description"] == f"Finds.\n\nReturns JSON that fits this schema: {said}"
    )


@covers("tool.function.allowed_callers")
def test_a_function_that_programs_alone_may_call_is_refused(client: OpenAI, upstream: Upstream) -> None:
    for callers in (["programmatic"], []):
        with refused(400, "unsupported_value", "tools[0].allowed_callers"):
            ask(client, PLACE | {"allowed_callers": callers})
    upstream.script(calls("place", GOOD))
    assert only(ask(client, PLACE | {"allowed_callers": ["direct", "programmatic"]}))["name"] == "place"


@covers("tool.function.async")
def test_a_function_that_may_take_its_time_says_so_in_its_calls(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("place", GOOD))
    assert only(ask(client, PLACE | {"async": True}))["async"] is True
