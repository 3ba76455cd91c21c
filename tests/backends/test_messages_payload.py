"""A turn as a request to the Messages API, and what its models are known to take."""

import json
from typing import Any

import pytest
from msgspec.structs import replace
from tests.messages_rules import complaint

from antiphon.backends.anthropic.payload import payload
from antiphon.backends.anthropic.schemas import closed
from antiphon.backends.anthropic.stream import THINKING
from antiphon.backends.anthropic.traits import Traits, lesson
from antiphon.backends.placed import placed
from antiphon.model import (
    AudioPart,
    Call,
    FilePart,
    Function,
    ImagePart,
    Message,
    NamedFunction,
    Opaque,
    Part,
    Sampling,
    TextPart,
    Turn,
)
from antiphon.protocol.errors import InvalidRequest

ADD = Function("add", "Adds.", {"properties": {"a": {"type": "integer"}}})


def user(*parts: str | Part) -> Message:
    return Message("user", tuple(TextPart(each) if isinstance(each, str) else each for each in parts))


def system(text: str) -> Message:
    return Message("system", (TextPart(text),))


def called(*ids: str, text: str = "", **more: Any) -> Message:
    calls = tuple(Call(each, "add", '{"a": 1}') for each in ids)
    return Message("assistant", (TextPart(text),) if text else (), calls, **more)


def result(call_id: str, *parts: str | Part) -> Message:
    return Message("tool", user(*parts).parts, call_id=call_id)


def body(*messages: Message, traits: Traits | None = None, **more: Any) -> Any:
    """The request, which the API would take."""
    found = payload(Turn("m", messages, **more), traits or Traits())
    assert complaint(found) is None
    return found


def shape(request: Any) -> list[tuple[str, list[str]]]:
    return [(m["role"], [block["type"] for block in m["content"]]) for m in request["messages"]]


SHAPES: dict[str, tuple[tuple[Message, ...], list[tuple[str, list[str]]]]] = {
    "instructions alone": ((system("Say hello."),), [("user", ["text"])]),
    "nothing at all": ((), [("user", ["text"])]),
    "an assistant that begins": (
        (called(text="Hi"), user("Hm")),
        [("user", ["text"]), ("assistant", ["text"]), ("user", ["text"])],
    ),
    "an assistant that ends": (
        (user("Hi"), called(text="Ho")),
        [("user", ["text"]), ("assistant", ["text"]), ("user", ["text"])],
    ),
    "neighbours of one role": (
        (user("a"), user("b"), called(text="c"), called(text="d"), user("e")),
        [("user", ["text", "text"]), ("assistant", ["text", "text"]), ("user", ["text"])],
    ),
    "instructions in the middle": (
        (user("a"), called(text="b"), system("c"), user("d")),
        [("user", ["text"]), ("assistant", ["text"]), ("user", ["text", "text"])],
    ),
    "results in another order, with words between": (
        (user("a"), called("x", "y"), user("now"), result("y", "2"), result("x", "1")),
        [
            ("user", ["text"]),
            ("assistant", ["tool_use"] * 2),
            ("user", ["tool_result", "tool_result", "text"]),
        ],
    ),
    "a call without a result": (
        (user("a"), called("x", "y"), result("y", "2")),
        [("user", ["text"]), ("assistant", ["tool_use"] * 2), ("user", ["tool_result"] * 2)],
    ),
    "a result without a call": (
        (user("a"), result("x", "1")),
        [("user", ["text", "text", "text"])],
    ),
    "text that is blank": (
        (user("a"), called(text=" \n"), user(" ", "b")),
        [("user", ["text", "text"])],
    ),
}


@pytest.mark.parametrize(("messages", "expected"), SHAPES.values(), ids=SHAPES)
def test_every_conversation_has_a_shape_that_is_taken(
    messages: tuple[Message, ...], expected: list[tuple[str, list[str]]]
) -> None:
    assert shape(body(*messages)) == expected


def test_results_hold_what_they_hold() -> None:
    picture = ImagePart("data:image/png;base64,AAAA")
    request = body(user("a"), called("x"), result("x", "See:", picture))

    assert request["messages"][2]["content"][0]["content"] == [
        {"type": "text", "text": "See:"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
    ]


def test_an_id_that_the_api_does_not_take_has_another_one() -> None:
    request = body(user("a"), called("call.1/x"), result("call.1/x", "1"))
    call, answer = request["messages"][1]["content"][0], request["messages"][2]["content"][0]

    assert call["id"].startswith("toolu_")
    assert call["id"] == answer["tool_use_id"]


def test_ids_that_come_again_are_told_apart() -> None:
    """Each result has the id of its own call."""
    first, again = (
        (called("x", "x", "x_2"), result("x", "1"), result("x", "2")),
        (called("x"), result("x", "3")),
    )
    found = body(user("a"), *first, called(text="b"), user("c"), *again)
    blocks = [block for message in found["messages"] for block in message["content"]]
    ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
    results = {b["tool_use_id"]: b["content"] for b in blocks if b["type"] == "tool_result"}

    assert ids == ["x", "x_3", "x_2", "x_4"]
    assert [results[each] for each in (ids[0], ids[1], ids[3])] == ["1", "2", "3"]


def test_arguments_that_are_no_object_stand_beside_their_call() -> None:
    broken = Message("assistant", (), (Call("x", "add", '{"a": '),))
    request = body(user("a"), broken, result("x", "?"))

    assert request["messages"][1]["content"][0]["input"] == {}
    assert '{"a": ' in json.dumps(request["messages"][2]["content"][0]["content"]).replace("\\", "")


@pytest.mark.parametrize("part", [AudioPart("AAAA", "wav"), FilePart("data:text/csv;base64,AAAA", "a.csv")])
def test_what_cannot_be_sent_is_refused(part: Part) -> None:
    with pytest.raises(InvalidRequest):
        body(user(part))


@pytest.mark.parametrize("name", ["presence_penalty", "frequency_penalty"])
def test_penalties_are_refused_unless_they_are_none(name: str) -> None:
    body(user("a"), sampling=Sampling(**{name: 0.0}))
    with pytest.raises(InvalidRequest, match=name):
        body(user("a"), sampling=Sampling(**{name: 0.5}))


def test_functions_have_schemas_of_objects() -> None:
    request = body(user("a"), functions=(ADD, Function("now")), choice=NamedFunction("now"))

    assert [tool["input_schema"]["type"] for tool in request["tools"]] == ["object", "object"]
    assert request["tool_choice"] == {"type": "tool", "name": "now"}


SCHEMAS: dict[str, tuple[Any, Any]] = {
    "one that is closed": (
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False},
        {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": False},
    ),
    "one that is not, and its members": (
        {"type": "object", "properties": {"a": {"properties": {"b": {}}}}},
        {
            "type": "object",
            "properties": {"a": {"properties": {"b": {}}, "additionalProperties": False}},
            "additionalProperties": False,
        },
    ),
    "definitions": (
        {"$defs": {"allOf": {"type": "string"}}, "type": "array", "items": {"$ref": "#/$defs/allOf"}},
        {"$defs": {"allOf": {"type": "string"}}, "type": "array", "items": {"$ref": "#/$defs/allOf"}},
    ),
    "a table": ({"type": "object", "additionalProperties": {"type": "string"}}, None),
    "any object": ({"type": "object"}, None),
    "parts that are joined": ({"allOf": [{"type": "object", "properties": {"a": {}}}]}, None),
}


@pytest.mark.parametrize(("schema", "expected"), SCHEMAS.values(), ids=SCHEMAS)
def test_a_schema_is_closed_where_that_asks_for_nothing_else(schema: Any, expected: Any) -> None:
    assert closed(schema) == expected


def test_pieces_stand_where_they_came() -> None:
    texts, calls = [{"t": 1}], [{"c": 1}, {"c": 2}]
    pieces = [{"p": n, "after": place} for n, place in enumerate([[0, 0], [1, 0], [2, 0], [1, 1], [1, 9]])]

    assert placed([*pieces, "no piece", {"p": 5}], texts, calls) == [
        {"p": 0}, {"p": 5}, {"t": 1}, {"p": 1}, {"p": 2}, {"c": 1}, {"p": 3}, {"c": 2}, {"p": 4}
    ]  # fmt: skip


@pytest.mark.parametrize("sealed", [None, "text", {"a": 1}, [1, None]])
def test_pieces_that_are_none_kill_no_request(sealed: Any) -> None:
    thought = Opaque({THINKING: sealed})
    request = payload(Turn("m", (user("a"), called(text="b", opaque=thought), user("c"))), Traits())

    assert request["messages"][1]["content"][-1] == {"type": "text", "text": "b"}


REFUSALS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "adaptive thinking": (
        {"thinking": {"type": "adaptive"}},
        "adaptive thinking is not supported on this model",
        {"thinking": "enabled"},
    ),
    "a budget": (
        {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        '"thinking.type.enabled" is not supported for this model. Use "thinking.type.adaptive"',
        {"thinking": "adaptive"},
    ),
    "any thinking": (
        {"thinking": {"type": "adaptive"}},
        "thinking: Extra inputs are not permitted",
        {"thinking": ""},
    ),
    "no thinking": (
        {"thinking": {"type": "disabled"}},
        "thinking.type: disabled is not supported",
        {"disabled": False},
    ),
    "a schema": (
        {"output_config": {"format": {}}},
        "output_config.format: schema is not supported",
        {"schemas": False},
    ),
    "strict functions": (
        {"tools": [{"strict": True}]},
        "tools.0.custom.strict: Extra inputs are not permitted",
        {"strict": False},
    ),
    "the cache": (
        {"tools": [{}]},
        "tools.0.custom.cache_control: Extra inputs are not permitted",
        {"caching": False},
    ),
    "metadata": (
        {"metadata": {"user_id": "u"}},
        "metadata: Extra inputs are not permitted",
        {"without": frozenset({"metadata"})},
    ),
    "the length": (
        {"max_tokens": 8192},
        "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens",
        {"most": 4096},
    ),
    "one effort of several": (
        {"output_config": {"effort": "xhigh"}},
        "This model does not support effort level 'xhigh'. Supported levels: high, low, medium.",
        {"levels": frozenset({"low", "medium", "high", "max"})},
    ),
    "what is no parameter": ({"max_tokens": 1}, "messages.0: image exceeds 5 MB maximum", {}),
}


@pytest.mark.parametrize(("sent", "words", "expected"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_teaches_what_a_model_takes(
    sent: dict[str, Any], words: str, expected: dict[str, Any]
) -> None:
    before = Traits(thinking="enabled") if "budget_tokens" in str(sent) else Traits()
    taught = lesson(words, {"max_tokens": 1, **sent}, before)

    assert taught == (replace(before, **expected) if expected else None)
