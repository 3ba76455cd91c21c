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


@pytest.mark.parametrize("strict", [False, None])
def test_a_call_that_is_not_strict_is_emitted_as_it_is_written(
    client: OpenAI, upstream: Upstream, strict: bool | None
) -> None:
    upstream.script(calls("place", '{"x": "wrong"}', 3))

    events = stream(client, PLACE | {"strict": strict})

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
