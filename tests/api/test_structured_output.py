"""Structured output: which schemas are taken, and models that cannot be held to one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import APIError, OpenAI
from pydantic import BaseModel
from tests.api.asking import ADD, Json, message, refused, response, usage, whole
from tests.conftest import Running, checked_client
from tests.ledger import covers
from tests.scripted import Answer, Called, Upstream, Usage, refusal

from antiphon.config import BackendSettings, Config, Server

Ask = Callable[..., Any]

SCHEMA: Json = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
GOOD = '{"name": "Ann", "age": 7}'


class Person(BaseModel):
    name: str
    age: int


def form(schema: Any = SCHEMA, **members: Any) -> Json:
    return {"type": "json_schema", "name": "person", "schema": schema, "strict": True} | members


@pytest.fixture(scope="module")
def _helpless(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose upstream cannot be held to a schema."""
    backend = BackendSettings(base_url=_upstream.base_url, default=True, structured_output=False)
    data_dir: Path = tmp_path_factory.mktemp("data")
    settings = Config(data_dir=str(data_dir), server=Server(verify=True), backends={"upstream": backend})
    with Running(settings) as running:
        yield running


@pytest.fixture
def helpless(_helpless: Running, upstream: Upstream) -> Iterator[OpenAI]:
    with checked_client(_helpless.url) as client:
        yield client


@pytest.fixture
def ask(helpless: OpenAI) -> Ask:
    """Asks a model that cannot be held to a schema for a person."""

    def create(**members: Any) -> Any:
        return helpless.responses.create(model="m", input="Who?", **({"text": {"format": form()}} | members))

    return create


# ---- which schemas are taken ------------------------------------------------------------------------


def nested(schema: Json) -> Json:
    """An object that holds such a value."""
    return SCHEMA | {"properties": {"who": schema}, "required": ["who"]}


LOOSE: Json = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
UNACCEPTABLE: list[Json] = [
    form({"type": "objct"}),
    form({"type": "object", "properties": []}),
    form({"$ref": "http://127.0.0.1:9/schema.json"}, strict=False),
    form({"$ref": "#/$defs/absent"}, strict=False),
    form({"type": "string", "pattern": "("}, strict=False),
    form({"type": "array", "items": {}}),
    form({"anyOf": [SCHEMA]}),
    form(LOOSE),
    form(SCHEMA | {"required": ["name"]}),
    form(nested(LOOSE)),
    form(nested({"type": "array", "items": LOOSE})),
    form(nested({"anyOf": [SCHEMA, LOOSE]})),
    form(nested({"$ref": "#/$defs/Loose"}) | {"$defs": {"Loose": LOOSE}}),
]


@covers("error.invalid_json_schema")
@pytest.mark.parametrize("unacceptable", UNACCEPTABLE, ids=lambda form: str(form["schema"])[:60])
def test_a_schema_that_is_not_acceptable_is_refused(
    client: OpenAI, upstream: Upstream, unacceptable: Json
) -> None:
    with refused(400, "invalid_json_schema", "text.format.schema") as refusal:
        client.responses.create(model="m", input="Who?", text={"format": unacceptable})  # type: ignore[arg-type]

    assert refusal.message.startswith("Invalid schema for response_format 'person': ")
    assert upstream.requests == []


ACCEPTABLE: list[Json] = [
    form(),
    form(LOOSE, strict=False),
    form(LOOSE, strict=None),
    form({}, strict=False),
    form(SCHEMA | {"$schema": "http://json-schema.org/draft-07/schema#"}),
    form(nested({"$ref": "#/$defs/P"}) | {"$defs": {"P": SCHEMA}}),
    form(nested({"anyOf": [SCHEMA, {"type": "null"}]})),
]


@covers("param.text.format.json_schema")
@pytest.mark.parametrize("acceptable", ACCEPTABLE, ids=lambda form: str(form["schema"])[:60])
def test_an_acceptable_schema_reaches_the_model_as_it_is(
    client: OpenAI, upstream: Upstream, acceptable: Json
) -> None:
    nests = "who" in acceptable["schema"].get("properties", {})
    upstream.script(Answer(f'{{"who": {GOOD}}}' if nests else GOOD))

    told = client.responses.create(model="m", input="Who?", text={"format": acceptable})  # type: ignore[arg-type]

    assert told.status == "completed"
    assert upstream.last.body["response_format"]["json_schema"]["schema"] == acceptable["schema"]


# ---- models that cannot be held to one --------------------------------------------------------------


@covers("param.text.format.json_schema")
def test_the_schema_is_sent_in_words(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer(GOOD, size=3))

    told = ask(instructions="Be brief.")

    system, user = upstream.last.body["messages"]
    assert "response_format" not in upstream.last.body
    assert system["role"] == "system"
    assert system["content"].startswith("Be brief.\n\nAnswer with JSON alone")
    assert '"additionalProperties":false' in system["content"]
    assert user == {"role": "user", "content": "Who?"}
    assert whole(told) == response(
        message(GOOD),
        instructions="Be brief.",
        text={"format": form(description=None), "verbosity": "medium"},
    )


def test_the_sdk_parses_such_an_answer(helpless: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(f"Sure!\n```json\n{GOOD}\n```"))

    told = helpless.responses.parse(model="m", input="Who?", text_format=Person)

    assert told.output_parsed == Person(name="Ann", age=7)


@pytest.mark.parametrize(
    "text",
    [f"```json\n{GOOD}\n```", f"```\n{GOOD}\n```", f"Here it is: {GOOD} Anything else?", f"\n {GOOD} \n"],
)
def test_what_stands_around_the_json_is_left_out(ask: Ask, upstream: Upstream, text: str) -> None:
    upstream.script(Answer(text, size=5))

    assert ask().output_text == GOOD


@pytest.mark.parametrize("wrong", ['{"name": "Ann"}', '{"name": "Ann", "age": "7"}', "Ann, seven.", "", "[1"])
def test_an_answer_that_does_not_fit_is_asked_for_again(ask: Ask, upstream: Upstream, wrong: str) -> None:
    upstream.script(Answer(wrong), Answer(GOOD))

    told = ask()

    *_, answer, correction = upstream.last.body["messages"]
    assert whole(told)["output"] == [message(GOOD)]
    assert whole(told)["usage"] == usage(14, 10)
    assert (answer["role"], answer["content"]) == ("assistant", wrong)
    assert correction["content"].startswith("This answer does not fit: ")


def test_the_model_reads_what_is_wrong(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer('{"name": "Ann", "age": "7"}'), Answer(GOOD))

    ask()

    assert 'answer[\'age\']: "7" is not of type "integer"' in upstream.last.body["messages"][-1]["content"]


NEVER_FITS = "The model's answer did not fit its schema, 4 times: it is not JSON"


def test_an_answer_that_never_fits_fails_its_response_and_not_the_request(
    ask: Ask, upstream: Upstream
) -> None:
    """So the SDK does not send it again, and nobody takes the model for a server that is down."""
    upstream.default = Answer("Ann, seven.")

    told = whole(ask())

    assert (told["status"], told["output"]) == ("failed", [])
    assert told["error"] == {"code": "server_error", "message": NEVER_FITS}
    assert told["usage"] == usage(28, 20)
    assert len(upstream.requests) == 4


def test_an_answer_that_never_fits_ends_its_stream_in_words(ask: Ask, upstream: Upstream) -> None:
    upstream.default = Answer("Ann, seven.")

    events = ask(stream=True)

    assert next(events).type == "response.created"
    with pytest.raises(APIError, match=NEVER_FITS):
        list(events)
    assert len(upstream.requests) == 4


def test_nothing_is_streamed_before_it_fits(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Ann, seven.", size=2), Answer(GOOD, size=2))

    events = list(ask(stream=True))

    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == GOOD
    assert len(deltas) > 1


def test_reasoning_is_streamed_as_it_comes(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Ann.", reasoning="Hm"), Answer(GOOD, reasoning="Ah"))

    reasoning, answer = whole(ask())["output"]

    assert reasoning["content"] == [{"type": "reasoning_text", "text": "Hm\n\nAh"}]
    assert answer == message(GOOD)


def test_a_call_is_emitted_as_it_comes(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("I add.", calls=[Called("add", '{"a":1,"b":2}')]))

    assert [item.type for item in ask(tools=[ADD]).output] == ["message", "function_call"]


def test_a_refusal_is_no_answer_to_mend(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer(refusal="I will not."))

    assert whole(ask())["output"] == [message("", content=[{"type": "refusal", "refusal": "I will not."}])]


def test_an_answer_that_was_cut_off_is_emitted_as_far_as_it_came(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer('{"name": "An', finish="length"))

    told = ask(max_output_tokens=16)

    assert (told.status, told.output_text) == ("incomplete", '{"name": "An')


@covers("param.text.format.json_object")
def test_any_object_is_one(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("[1]"), Answer('{"a": 1}', usage=Usage(1, 1)))

    told = ask(text={"format": {"type": "json_object"}})

    assert told.output_text == '{"a": 1}'
    assert "it is not a JSON object" in upstream.last.body["messages"][-1]["content"]


# ---- servers that are asked for the schema itself ---------------------------------------------------


def told(client: OpenAI, *, stream: bool, **members: Any) -> Any:
    asked = {"model": "m", "input": "Who?", "text": {"format": form()}} | members
    if not stream:
        return client.responses.create(**asked)
    with client.responses.create(**asked, stream=True) as events:
        return [event for event in events if event.type.startswith("response.")][-1].response


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wrong", ["Ann is seven.", f"```json\n{GOOD[:-1]}", "Sure! Here you are."])
def test_prose_instead_of_the_schema_is_asked_for_again_in_words(
    client: OpenAI, upstream: Upstream, wrong: str, stream: bool
) -> None:
    upstream.script(Answer(wrong, size=3), Answer(GOOD))
    assert told(client, stream=stream).output_text == GOOD
    assert "response_format" in upstream.requests[0].body
    assert "It must fit this JSON schema" in str(upstream.requests[1].body["messages"])


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_comes_as_reasoning_is_the_answer(
    client: OpenAI, upstream: Upstream, stream: bool
) -> None:
    upstream.script(Answer(reasoning=GOOD))
    done = told(client, stream=stream)
    assert done.output_text == GOOD
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_that_does_not_fit_is_no_answer(client: OpenAI, upstream: Upstream, stream: bool) -> None:
    upstream.script(Answer(reasoning='{"name": 7}'), Answer(GOOD))
    done = told(client, stream=stream)
    assert done.output_text == GOOD
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_fence_around_the_answer_is_taken_off(client: OpenAI, upstream: Upstream, stream: bool) -> None:
    upstream.script(Answer(f"```json\n{GOOD}\n```", size=3))
    assert told(client, stream=stream).output_text == GOOD


@pytest.mark.parametrize("stream", [False, True])
def test_a_schema_that_the_server_does_not_know_after_all_is_told_in_words(
    client: OpenAI, upstream: Upstream, stream: bool
) -> None:
    upstream.script(refusal(400, "This response_format type is unavailable now"), Answer(GOOD), Answer(GOOD))
    assert told(client, stream=stream, model=f"deep-{stream}").output_text == GOOD
    assert told(client, stream=stream, model=f"deep-{stream}").output_text == GOOD
    assert ["response_format" in request.body for request in upstream.requests] == [True, False, False]


ANY_OBJECT: Json = {"format": {"type": "json_object"}}


@covers("param.text.format.json_object")
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "wrong", ["Ann is seven.", "[1, 2]", '"Ann"', "7", "", f"```json\n{GOOD[:-1]}", f"[{GOOD}, 1]"]
)
def test_what_is_no_object_is_asked_for_again(
    client: OpenAI, upstream: Upstream, wrong: str, stream: bool
) -> None:
    upstream.script(Answer(wrong, size=3), Answer(GOOD))
    assert told(client, stream=stream, text=ANY_OBJECT).output_text == GOOD
    assert upstream.requests[0].body["response_format"] == {"type": "json_object"}
    assert "It must be one JSON object" in str(upstream.requests[1].body["messages"])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("form", [ANY_OBJECT, {"format": form()}], ids=["object", "schema"])
@pytest.mark.parametrize("size", [0, 1, 4])
@pytest.mark.parametrize(
    "text",
    [
        f"{GOOD} Anything else?",
        f"{GOOD}\n```",
        f"{GOOD}{GOOD}",
        f"{GOOD}}}",
        f"```json\n{GOOD}\n```",
        f"Here it is: {GOOD}",
    ],
)
def test_what_stands_around_the_answer_is_left_out(
    client: OpenAI, upstream: Upstream, text: str, size: int, form: Any, stream: bool
) -> None:
    upstream.script(Answer(text, size=size))
    assert told(client, stream=stream, text=form).output_text == GOOD


@pytest.mark.parametrize("size", [0, 1])
def test_brackets_and_quotes_in_strings_end_no_answer(client: OpenAI, upstream: Upstream, size: int) -> None:
    odd = '{"a": "}]\\\\\\"}", "b": {"c": ["\\\\"]}}'
    upstream.script(Answer(f"{odd} Done.", size=size))
    assert told(client, stream=True, text=ANY_OBJECT).output_text == odd


@pytest.mark.parametrize("form", [ANY_OBJECT, {"format": form()}], ids=["object", "schema"])
def test_where_nobody_reads_along_an_answer_that_does_not_fit_is_asked_for_again(
    client: OpenAI, upstream: Upstream, form: Any
) -> None:
    upstream.script(Answer('{"name": "Ann", "age"'), Answer(GOOD))
    assert told(client, stream=False, text=form).output_text == GOOD


def test_an_object_that_was_streamed_and_breaks_off_fails_in_words(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(Answer('{"name": "Ann", "age"', size=5))
    with pytest.raises(APIError, match="did not fit its schema"):
        told(client, stream=True, text=ANY_OBJECT)


def test_what_was_streamed_and_does_not_fit_fails_in_words(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer('{"name": "Ann", "age": "seven"}', size=5))
    with pytest.raises(APIError, match="did not fit its schema"):
        told(client, stream=True)


def test_a_schema_that_is_not_strict_is_a_wish(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer('{"name": "Ann"}'))
    wish = {"format": form(strict=False)}
    assert told(client, stream=True, text=wish).output_text == '{"name": "Ann"}'


def test_an_answer_of_the_schema_is_streamed_as_it_comes(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(GOOD, size=5))
    with client.responses.create(model="m", input="Who?", text={"format": form()}, stream=True) as events:  # type: ignore[arg-type]
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert len(deltas) > 3
    assert "".join(deltas) == GOOD
