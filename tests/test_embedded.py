"""The whole server on the embedded model, as `antiphon serve` runs it: one process loads the weights, the
server reaches it through its socket, and the official client asks."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import httpx2
import pytest
from msgspec.structs import replace
from openai import BadRequestError, OpenAI
from pydantic import BaseModel, ConfigDict
from tests.api.asking import Json, Like, refused, whole, wholes
from tests.conftest import Running, checked_client
from tests.kept_model import kept_model
from tests.papers import picture_url
from tests.tools.libraries import shelve

from antiphon import engines
from antiphon.backends.llama import LlamaProcess
from antiphon.config import BackendSettings, Config, Server
from antiphon.weights.reference import DEFAULT_NAME

pytestmark = pytest.mark.embedded

PATIENCE = 120.0
"""Seconds that an answer may take: the model shares two cores with the other tests."""
BRIEF = 24


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server on the embedded model. Requests wait until it is loaded."""
    model = kept_model()
    data = tmp_path_factory.mktemp("embedded")
    with LlamaProcess(model, log=data / "llama.log") as engine:
        backend = BackendSettings(type="llama", default=True, unix_socket=str(engine.socket))
        brief = replace(backend, default=False, models=["brief-*"], max_output_tokens=16)
        backends = {"embedded": backend, "brief": brief}
        config = Config(data_dir=str(data), server=Server(verify=True), backends=backends)
        with Running(config) as running:
            yield running


@pytest.fixture
def model(embedded: Running) -> Iterator[OpenAI]:
    """The official client of that server."""
    with checked_client(embedded.url) as client:
        yield client.with_options(timeout=PATIENCE)


def ask(client: OpenAI, given: Any = "Say hello.", **members: Any) -> Any:
    return client.responses.create(
        **{"model": DEFAULT_NAME, "input": given, "temperature": 0.0, "max_output_tokens": BRIEF, **members}
    )


def test_an_answer_has_a_bound_that_its_request_may_change(model: OpenAI) -> None:
    asked = "Tell me a long story."

    bounded = ask(model, asked, model="brief-1", max_output_tokens=None)
    longer = ask(model, asked, model="brief-1", max_output_tokens=20)

    assert (bounded.status, bounded.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert [bounded.usage.output_tokens, longer.usage.output_tokens] == [16, 20]


class City(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Literal["Paris", "Rome"]
    big: bool


ADD: Json = {
    "type": "function",
    "name": "add",
    "description": "Adds two numbers.",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
    "strict": True,
}
TOGGLE: Json = {
    "type": "function",
    "name": "toggle",
    "description": "Turns the light on or off.",
    "parameters": {
        "type": "object",
        "properties": {"on": {"type": "boolean"}},
        "required": ["on"],
        "additionalProperties": False,
    },
    "strict": True,
}


def fits_add(arguments: str) -> bool:
    given = json.loads(arguments)
    return given.keys() == {"a", "b"} and all(isinstance(value, int) for value in given.values())


def test_it_answers_in_text(model: OpenAI) -> None:
    told = ask(model)

    assert told.status in ("completed", "incomplete")
    assert told.output_text
    assert (told.model, [item.type for item in told.output]) == (DEFAULT_NAME, ["message"])
    assert told.usage.input_tokens > 0
    assert 0 < told.usage.output_tokens <= BRIEF


def test_its_stream_is_its_plain_answer(model: OpenAI) -> None:
    plain = ask(model, "Count: one, two,")
    events = wholes(ask(model, "Count: one, two,", stream=True))

    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert len(deltas) > 3
    assert "".join(deltas) == plain.output_text
    assert events[-1]["response"]["usage"]["output_tokens"] == plain.usage.output_tokens


def test_it_is_listed(model: OpenAI) -> None:
    assert [listed.id for listed in model.models.list()] == [DEFAULT_NAME]
    assert model.models.retrieve(DEFAULT_NAME).id == DEFAULT_NAME


def test_it_answers_to_any_name(model: OpenAI) -> None:
    assert ask(model, model="gpt-5").output_text


def test_its_answer_is_held_to_a_schema(model: OpenAI) -> None:
    told = model.responses.parse(
        model=DEFAULT_NAME, input="Which city?", text_format=City, temperature=0, max_output_tokens=100
    )

    assert isinstance(told.output_parsed, City)


def test_its_streamed_answer_is_held_to_a_schema(model: OpenAI) -> None:
    with model.responses.stream(
        model=DEFAULT_NAME, input="Which city?", text_format=City, temperature=0, max_output_tokens=100
    ) as events:
        final = events.get_final_response()

    assert isinstance(final.output_parsed, City)


TREE: Json = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 5},
        "child": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
    },
    "required": ["name", "child"],
    "additionalProperties": False,
}


def test_a_schema_may_refer_to_itself(model: OpenAI) -> None:
    form: Any = {"type": "json_schema", "name": "tree", "schema": TREE, "strict": True}
    told = ask(model, "A tree?", text={"format": form}, temperature=0, max_output_tokens=60)

    assert told.output_text.startswith("{")
    assert told.status == "incomplete" or json.loads(told.output_text).keys() == {"name", "child"}


def test_so_may_the_arguments_of_a_forced_call(model: OpenAI) -> None:
    grow: Any = {"type": "function", "name": "grow", "parameters": TREE, "strict": True}
    told = ask(
        model, "Grow a tree.", tools=[grow], tool_choice="required", temperature=0, max_output_tokens=60
    )

    assert told.status == "incomplete" or told.output[-1].type == "function_call"


def test_its_answer_is_held_to_json(model: OpenAI) -> None:
    told = ask(
        model,
        [{"role": "user", "content": 'Answer in JSON: {"hello": "world"}'}],
        text={"format": {"type": "json_object"}},
        max_output_tokens=300,
    )

    assert told.status == "incomplete" or isinstance(json.loads(told.output_text), dict)
    assert told.output_text.lstrip().startswith("{")


@pytest.mark.parametrize("stream", [False, True])
def test_it_calls_the_function_that_it_must(model: OpenAI, stream: bool) -> None:
    told = ask(
        model,
        "What is 1 + 2?",
        tools=[TOGGLE, ADD],
        tool_choice={"type": "function", "name": "add"},
        max_output_tokens=100,
        stream=stream,
    )

    output = wholes(told)[-1]["response"]["output"] if stream else wholes(told.output)
    assert [(item["type"], item["name"], item["status"]) for item in output] == [
        ("function_call", "add", "completed")
    ]
    assert fits_add(output[0]["arguments"])
    assert output[0]["call_id"] == Like("call_[A-Za-z0-9]+")


@pytest.mark.parametrize("stream", [False, True])
def test_it_calls_some_function_when_it_must(model: OpenAI, stream: bool) -> None:
    told = ask(
        model,
        "What is 1 + 2?",
        tools=[ADD],
        tool_choice="required",
        parallel_tool_calls=False,
        max_output_tokens=100,
        stream=stream,
    )

    output = wholes(told)[-1]["response"]["output"] if stream else wholes(told.output)
    assert [(item["type"], item["name"]) for item in output] == [("function_call", "add")]
    assert fits_add(output[0]["arguments"])


def test_of_several_functions_it_calls_an_allowed_one(model: OpenAI) -> None:
    told = ask(
        model,
        "What is 1 + 2?",
        tools=[TOGGLE, ADD],
        tool_choice={
            "type": "allowed_tools",
            "mode": "required",
            "tools": [{"type": "function", "name": "toggle"}],
        },
        max_output_tokens=100,
    )

    assert {item.name for item in told.output} == {"toggle"}


@pytest.mark.parametrize("choice", ["auto", "none"])
def test_it_may_answer_in_words_when_it_has_functions(model: OpenAI, choice: Any) -> None:
    told = ask(model, "Hello!", tools=[ADD], tool_choice=choice)

    kinds = {item.type for item in told.output}
    assert kinds
    assert kinds <= ({"message", "function_call"} if choice == "auto" else {"message"})


def test_it_reads_what_a_function_answered(model: OpenAI) -> None:
    call = ask(
        model,
        "What is 1 + 2?",
        tools=[ADD],
        tool_choice={"type": "function", "name": "add"},
        max_output_tokens=100,
    )

    told = ask(
        model,
        [{"type": "function_call_output", "call_id": call.output[0].call_id, "output": "3"}],
        previous_response_id=call.id,
        tools=[ADD],
        tool_choice="none",
    )

    assert told.output_text


def test_it_gives_logprobs(model: OpenAI) -> None:
    told = ask(model, top_logprobs=2, include=["message.output_text.logprobs"])

    content = told.output[0].content[0]
    assert "".join(token.token for token in content.logprobs) == content.text
    assert {len(token.top_logprobs) for token in content.logprobs} == {2}
    assert all(token.logprob <= 0 for token in content.logprobs)


def test_a_long_answer_is_cut_off(model: OpenAI) -> None:
    told = ask(model, "Tell me a very long story.", max_output_tokens=16)

    assert (told.status, told.usage.output_tokens) == ("incomplete", 16)
    assert whole(told)["incomplete_details"] == {"reason": "max_output_tokens"}
    assert [item.status for item in told.output] == ["incomplete"]


def test_a_chain_has_a_memory(model: OpenAI) -> None:
    first = ask(model, "My name is Ada.")
    second = ask(model, "What is my name?", previous_response_id=first.id)
    alone = ask(model, "What is my name?")

    assert second.usage.input_tokens > first.usage.total_tokens
    assert second.usage.input_tokens > alone.usage.input_tokens


def test_a_conversation_has_a_memory(model: OpenAI) -> None:
    conversation = model.conversations.create(items=[{"role": "developer", "content": "Be brief."}])

    told = ask(model, "Hello!", conversation=conversation.id)

    items = list(model.conversations.items.list(conversation.id, order="asc"))
    assert [item.role for item in items] == ["developer", "user", "assistant"]  # type: ignore[union-attr]
    assert items[-1].id == told.output[0].id


def test_the_same_seedless_greedy_question_is_answered_alike(model: OpenAI) -> None:
    assert ask(model).output_text == ask(model).output_text


def test_too_much_to_read_is_refused(model: OpenAI) -> None:
    with refused(400, "context_length_exceeded", "input"):
        ask(model, "word " * 20_000)


def test_what_it_cannot_see_is_refused(model: OpenAI) -> None:
    picture = {"type": "input_image", "image_url": picture_url()}

    with pytest.raises(BadRequestError):
        ask(model, [{"role": "user", "content": [picture]}])


def test_a_client_that_leaves_makes_room(embedded: Running, model: OpenAI) -> None:
    """Eight answers without an end are abandoned; were they still written, the ninth would have to wait for
    all the tokens of the eight."""
    body = {"model": DEFAULT_NAME, "input": "Count to a million.", "stream": True, "temperature": 0}
    for _ in range(8):
        with httpx2.stream("POST", f"{embedded.url}/v1/responses", json=body, timeout=PATIENCE) as told:
            next(told.iter_bytes())

    assert ask(model, max_output_tokens=16).output_text


# ---- beside /v1/responses ---------------------------------------------------------------------------


def test_the_embedded_model_answers_chat_completions_too(model: OpenAI) -> None:
    asked: Any = {
        "model": DEFAULT_NAME,
        "messages": [{"role": "user", "content": "Say hello."}],
        "temperature": 0.0,
    }

    whole_one = model.chat.completions.create(**asked, max_tokens=BRIEF)
    stream = model.chat.completions.create(**asked, max_tokens=BRIEF, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    continued = model.completions.create(model=DEFAULT_NAME, prompt="Once upon a", max_tokens=BRIEF)

    assert whole_one.choices[0].message.content == text
    assert text
    assert continued.choices[0].text


def test_an_embedded_models_chat_completion_has_a_bound_too(model: OpenAI) -> None:
    asked: Any = [{"role": "user", "content": "Count to a million."}]

    told = model.chat.completions.create(model="brief-1", messages=asked, temperature=0)

    assert told.usage is not None
    assert (told.choices[0].finish_reason, told.usage.completion_tokens) == ("length", 16)


def test_the_embedded_model_says_that_it_embeds_nothing(model: OpenAI) -> None:
    with refused(404, "unknown_url"):
        model.embeddings.create(model=DEFAULT_NAME, input="x")


@pytest.mark.parametrize(
    "form",
    [
        {"grammar": 'root ::= "a"'},
        {"json_schema": {}},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}},
        {"response_format": 7},
    ],
)
def test_grammars_reach_the_embedded_model_by_way_of_responses_alone(model: OpenAI, form: Json) -> None:
    asked: Any = [{"role": "user", "content": "Hi"}]

    with refused(400, "unsupported_parameter", next(iter(form))) as told:
        model.chat.completions.create(model=DEFAULT_NAME, messages=asked, extra_body=form)

    assert "/v1/responses" in told.message


def test_a_json_object_can_be_asked_for_in_a_chat_completion(model: OpenAI) -> None:
    asked: Any = [{"role": "user", "content": "Hi"}]
    told = model.chat.completions.create(
        model=DEFAULT_NAME, messages=asked, response_format={"type": "json_object"}, max_tokens=BRIEF
    )
    assert (told.choices[0].message.content or "").lstrip().startswith("{")


# ---- any file ---------------------------------------------------------------------------------------------


def test_several_files_run_under_their_names(tmp_path: Path) -> None:
    """The same weights as any other file: what they can is read from them."""
    default = kept_model()
    for name in ("One-Q4_1.gguf", "Two-Q4_1.gguf"):
        (tmp_path / name).symlink_to(default)
    backends = {
        name: BackendSettings(type="llama", model=str(tmp_path / f"{name}-Q4_1.gguf"), context_window=1024)
        for name in ("One", "Two")
    }
    config = Config(data_dir=str(tmp_path / "data"), server=Server(verify=True), backends=backends)

    with (
        engines.running(config, engines.wanted(config)) as settings,
        Running(settings) as running,
        checked_client(running.url) as client,
    ):
        client = client.with_options(timeout=PATIENCE)
        listed = [each.id for each in client.models.list()]
        said = [ask(client, model=name, max_output_tokens=16) for name in ("One", "Two", "any")]
        choice = {"type": "function", "name": "add"}
        forced = ask(client, "1 + 2?", model="Two", tools=[ADD], tool_choice=choice, max_output_tokens=100)
        with refused(400, "context_length_exceeded", "input"):
            ask(client, "word " * 2_000, model="One")

    assert listed == ["One", "Two"]
    assert all(each.output_text for each in said)
    assert fits_add(forced.output[0].arguments)


@pytest.mark.parametrize("choice", ["auto", {"type": "file_search"}])
def test_it_can_search_files_when_it_is_made_to(model: OpenAI, choice: Any) -> None:
    """The form alone: it is too small to look for the right thing."""
    store = shelve(model, {"boats.md": "Boats float because they are light.", "tea.md": "Tea is brewed hot."})
    tools = [{"type": "file_search", "vector_store_ids": [store]}]

    told = ask(model, "Why do boats float?", tools=tools, tool_choice=choice, max_output_tokens=64)

    assert told.status in ("completed", "incomplete")
    kinds = [item.type for item in told.output]
    if choice != "auto":
        assert kinds[0] == "file_search_call"
        assert told.output[0].status in ("completed", "incomplete")
    for item in told.output:
        if item.type == "file_search_call" and item.status == "completed":
            assert 1 <= len(item.queries) <= 4
