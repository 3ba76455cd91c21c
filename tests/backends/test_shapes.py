"""The conversation as servers want it, whoever sent it in whatever shape (docs/internals/upstreams.md)."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import ADD, Json, whole, wholes
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Called, Upstream, refusal
from tests.tools.using import ask, calls, offered, only, read

Speak = Callable[[str], OpenAI]

USER: Json = {"role": "user", "content": "1+2?"}
MORE: Json = {"role": "user", "content": "And 3+4?"}
LONG = "look_up_" + "the_weather_of_a_place_that_is_far_away_" * 2 + "a"
ALMOST = LONG[:-1] + "b"


@pytest.fixture
def speak(upstream: Upstream, tmp_path: Path) -> Iterator[Speak]:
    """The official client of a server whose upstream has this dialect."""
    with ExitStack() as stack:

        def client(dialect: str) -> OpenAI:
            config = config_for(upstream, tmp_path)
            backend = replace(config.backends["upstream"], dialect=dialect)
            running = stack.enter_context(Running(replace(config, backends={"upstream": backend})))
            return stack.enter_context(checked_client(running.url))

        yield client


def output(call: Json, text: str = "3") -> Json:
    return {"type": "function_call_output", "call_id": call["call_id"], "output": text}


def function(name: str) -> Json:
    return {"type": "function", "name": name, "parameters": {"type": "object"}, "strict": False}


# ---- reasoning --------------------------------------------------------------------------------------

THOUGHT = Answer(reasoning="Hm.", calls=[Called("add", '{"a":1,"b":2}')])


def loop(client: OpenAI, upstream: Upstream, *more: Answer) -> tuple[Json, Json]:
    """A turn in which the model thinks and calls, and the one in which it reads the result."""
    upstream.script(THOUGHT, *(more or (Answer("3"),)))
    first = ask(client, ADD, given=[USER])
    second = ask(client, ADD, given=[output(first["output"][-1])], previous_response_id=first["id"])
    return first, second


MEMBERS = {
    "deepseek": "reasoning_content",
    "moonshot": "reasoning_content",
    "zai": "reasoning_content",
    "dashscope": "reasoning_content",
    "llama_cpp": "reasoning_content",
    "sglang": "reasoning_content",
    "litellm": "reasoning_content",
    "vllm": "reasoning",
    "openrouter": "reasoning",
    "ollama": "reasoning",
}


@pytest.mark.parametrize("dialect", MEMBERS)
def test_reasoning_of_calls_goes_back_under_the_name_that_the_server_knows(
    dialect: str, speak: Speak, upstream: Upstream
) -> None:
    upstream.lenient = True
    client = speak(dialect)
    _, second = loop(client, upstream)
    upstream.script(Answer("7"))

    ask(client, ADD, given=[MORE], previous_response_id=second["id"])

    for request in upstream.requests[1:]:
        assert request.body["messages"][1][MEMBERS[dialect]] == "Hm."


@pytest.mark.parametrize("dialect", ["openai", "groq", "gemini", "mistral"])
def test_reasoning_does_not_go_back_where_it_is_refused(
    dialect: str, speak: Speak, upstream: Upstream
) -> None:
    upstream.lenient = True
    loop(speak(dialect), upstream)
    assert not {"reasoning", "reasoning_content"} & read(upstream)[1].keys()


def test_reasoning_goes_back_to_a_server_that_is_not_known_within_a_tool_loop(
    client: OpenAI, upstream: Upstream
) -> None:
    _, second = loop(client, upstream)
    assert read(upstream)[1]["reasoning_content"] == "Hm."
    upstream.script(Answer("7"))

    ask(client, ADD, given=[MORE], previous_response_id=second["id"])

    assert "reasoning_content" not in read(upstream)[1]


def test_reasoning_that_was_refused_once_is_not_sent_again(speak: Speak, upstream: Upstream) -> None:
    client = speak("generic")
    words = "messages.1.assistant.reasoning_content: Extra inputs are not permitted"
    loop(client, upstream, refusal(400, words), Answer("3"))
    assert "reasoning_content" not in read(upstream)[1]

    loop(client, upstream)

    sent = [["reasoning_content" in message for message in r.body["messages"]] for r in upstream.requests]
    assert list(map(any, sent)) == [False, True, False, False, False]


@pytest.mark.parametrize(
    "words",
    [
        "The `reasoning_content` in the thinking mode must be passed back to the API.",
        "thinking is enabled but reasoning_content is missing in assistant tool call message at index 1",
    ],
)
def test_reasoning_that_a_server_misses_is_sent_from_then_on(
    words: str, speak: Speak, upstream: Upstream
) -> None:
    client = speak("generic")
    _, second = loop(client, upstream)
    upstream.script(refusal(400, words), Answer("7"))

    ask(client, ADD, given=[MORE], previous_response_id=second["id"])

    assert read(upstream)[1]["reasoning_content"] == "Hm."


# ---- who speaks where -------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["system", "developer"])
def test_a_late_instruction_is_the_users_where_nothing_is_known(
    role: str, client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(Answer("Yes."))
    late = {"role": role, "content": "Be brief."}

    ask(client, given=[{"role": role, "content": "Be kind."}, USER, late], instructions="Be wise.")

    assert [(m["role"], m["content"]) for m in read(upstream)] == [
        ("system", "Be wise.\n\nBe kind."),
        ("user", "1+2?"),
        ("user", "Be brief."),
    ]


@pytest.mark.parametrize(
    ("dialect", "role"), [("openai", "developer"), ("deepseek", "system"), ("mistral", "user")]
)
def test_a_late_instruction_keeps_its_role_where_it_is_known_to_be_read(
    dialect: str, role: str, speak: Speak, upstream: Upstream
) -> None:
    upstream.lenient = True
    upstream.script(Answer("Yes."))
    ask(speak(dialect), given=[USER, {"role": "developer", "content": "Be brief."}])
    assert [message["role"] for message in read(upstream)] == ["user", role]


def test_a_late_instruction_of_a_chain_is_the_users(client: OpenAI, upstream: Upstream) -> None:
    """New instructions lead each turn; what a developer said in the middle stays there."""
    upstream.script(Answer("3"), Answer("7"))
    first = ask(client, given=[USER])

    rules = {"role": "developer", "content": "Be brief."}
    ask(client, given=[rules, MORE], previous_response_id=first["id"], instructions="Be wise.")

    assert [m["role"] for m in read(upstream)] == ["system", "user", "assistant", "user", "user"]


def test_messages_of_the_model_in_a_row_are_thoughts_of_their_own(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("3"))
    said: list[Json] = [{"role": "assistant", "content": text} for text in ("One.", "Two.")]

    ask(client, given=[USER, *said, MORE])

    assert read(upstream)[1] == {"role": "assistant", "content": "One.\n\nTwo."}


def test_parts_of_one_message_of_the_model_stay_one_text(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("3"))
    parts = [{"type": "output_text", "text": text, "annotations": []} for text in ("One, ", "two.")]

    ask(client, given=[USER, {"role": "assistant", "content": parts}, MORE])

    assert read(upstream)[1]["content"] == "One, two."


def test_thoughts_in_a_row_are_kept_apart(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("3"))
    thoughts = [
        {
            "type": "reasoning",
            "id": f"rs_{n}",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": t}],
        }
        for n, t in enumerate(("Hm.", "Well."))
    ]
    call = {"type": "function_call", "call_id": "c", "name": "add", "arguments": "{}"}

    ask(client, given=[USER, *thoughts, call, output(call)])

    assert read(upstream)[1]["reasoning_content"] == "Hm.\n\nWell."


# ---- calls ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["generic", "vllm", "deepseek", "mistral", "groq"])
@pytest.mark.parametrize("broken", ['{"a": 1, "b"', "a=1", "[1, 2]"])
def test_arguments_that_are_no_object_do_not_spoil_the_turns_to_come(
    dialect: str, broken: str, speak: Speak, upstream: Upstream
) -> None:
    upstream.lenient = True
    upstream.script(calls("add", broken), Answer("Sorry."))
    client = speak(dialect)
    upstream.script(Answer("Sorry again."))
    call = {"type": "function_call", "call_id": "c", "name": "add", "arguments": broken}

    ask(client, ADD, given=[USER, call, output(call, "No such thing.")])

    asked = read(upstream)
    assert asked[1]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert broken in asked[2]["content"]
    assert asked[2]["content"].endswith("No such thing.")


def test_arguments_that_are_missing_are_none(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Done."))
    call = {"type": "function_call", "call_id": "c", "name": "add", "arguments": ""}

    ask(client, given=[USER, call, output(call, "3")])

    assert read(upstream)[1]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert read(upstream)[2]["content"] == "3"


def test_a_server_that_takes_any_arguments_gets_them_as_they_are(speak: Speak, upstream: Upstream) -> None:
    upstream.script(Answer("Done."))
    call = {"type": "function_call", "call_id": "c", "name": "add", "arguments": "a=1"}
    ask(speak("openai"), given=[USER, call, output(call)])
    assert read(upstream)[1]["tool_calls"][0]["function"]["arguments"] == "a=1"


@pytest.mark.parametrize("stream", [False, True])
def test_a_long_name_is_shortened_for_the_server_and_restored(
    stream: bool, client: OpenAI, upstream: Upstream
) -> None:
    tools = [function(LONG), function(ALMOST)]
    upstream.script(Answer("Hm."))
    ask(client, *tools)
    short, other = offered(upstream)
    assert max(len(short), len(other)) <= 64
    upstream.script(Answer(calls=[Called(short, "{}")]), Answer("Warm."))

    choice = {"type": "function", "name": LONG}
    if stream:
        with client.responses.stream(model="m", input="Hi", tools=tools, tool_choice=choice) as events:  # type: ignore[arg-type]
            first = whole(events.get_final_response())
    else:
        first = ask(client, *tools, tool_choice=choice)
    call = only(first)
    ask(client, *tools, given=[output(call)], previous_response_id=first["id"])

    assert call["name"] == LONG
    assert upstream.requests[1].body["tool_choice"]["function"]["name"] == short
    assert read(upstream)[1]["tool_calls"][0]["function"]["name"] == short


def test_a_long_name_may_be_the_one_that_is_allowed(client: OpenAI, upstream: Upstream) -> None:
    tools = [function(LONG), function(ALMOST)]
    upstream.script(Answer("Hm."))
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": ALMOST}]}

    ask(client, *tools, tool_choice=allowed)

    (short,) = offered(upstream)
    upstream.script(Answer(calls=[Called(short, "{}")]))
    assert only(ask(client, *tools))["name"] == ALMOST


def test_a_long_name_that_the_model_writes_out_is_the_functions(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls(LONG, "{}"))
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": LONG}]}
    assert only(ask(client, function(LONG), function(ALMOST), tool_choice=allowed))["name"] == LONG


def test_a_long_name_of_a_custom_tool_and_of_a_namespace_comes_back(
    client: OpenAI, upstream: Upstream
) -> None:
    custom: Json = {"type": "custom", "name": LONG}
    space: Json = {"type": "namespace", "name": "far", "description": "Away.", "tools": [function(LONG)]}
    upstream.script(Answer("Hm."))
    ask(client, custom, space)
    first, second = offered(upstream)
    both = [Called(first, '{"input":"x"}', "a"), Called(second, "{}", "b")]
    upstream.script(Answer(calls=both))

    found = ask(client, custom, space)["output"]

    assert [(call["type"], call["name"]) for call in found] == [
        ("custom_tool_call", LONG),
        ("function_call", LONG),
    ]
    assert found[1]["namespace"] == "far"


def test_a_name_that_the_model_made_up_does_not_spoil_the_turns_to_come(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(calls("add numbers!", "{}"), Answer("Sorry."))
    first = ask(client, ADD)
    call = only(first)
    assert call["name"] == "add numbers!"

    ask(client, ADD, given=[output(call, "No such function.")], previous_response_id=first["id"])

    assert read(upstream)[2]["content"] == "No such function."


# ---- names of Python --------------------------------------------------------------------------------


def test_items_may_come_as_the_sdk_dumps_them(client: OpenAI, upstream: Upstream) -> None:
    """`model_dump()` has the names of Python: `async_`."""
    upstream.script(calls("add", '{"a":1,"b":2}'), Answer("3"))
    first = client.responses.create(model="m", input="Hi", tools=[ADD])  # type: ignore[list-item]
    dumped = [item.model_dump() for item in first.output]
    assert dumped[0]["async_"] is None

    given: Any = [USER, *dumped, output(dumped[0])]
    second = client.responses.create(model="m", input=given, tools=[ADD])  # type: ignore[list-item]

    assert second.output_text == "3"
    assert "async_" not in wholes(client.responses.input_items.list(second.id, order="asc"))[1]


def test_tools_and_formats_may_come_as_the_sdk_dumps_them(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer('{"a":1}'))
    form = {"type": "json_schema", "name": "a", "schema_": {"type": "object", "properties": {"async_": {}}}}
    space = {
        "type": "namespace",
        "name": "s",
        "description": "S.",
        "tools": [function("g") | {"async_": True}],
    }
    tools = [function("f") | {"async_": None}, space]
    body = {"model": "m", "input": "Hi", "tools": tools, "text": {"format": form}}

    answer = http.post("/v1/responses", json=body).raise_for_status().json()

    assert answer["text"]["format"]["schema"] == form["schema_"]
    assert "async" not in answer["tools"][0]
    assert answer["tools"][1]["tools"][0]["async"] is True


def test_items_of_conversations_may_come_as_the_sdk_dumps_them(http: httpx2.Client) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "async_": None}
    created = http.post("/v1/conversations", json={"items": [call]}).raise_for_status().json()
    items = http.get(f"/v1/conversations/{created['id']}/items").json()["data"]
    assert (items[0]["call_id"], "async_" in items[0]) == ("c", False)


def test_what_the_sdk_has_parsed_may_come_back(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer('{"a":1}', calls=[Called("add", '{"a":1,"b":2}')]), Answer("3"))
    with client.responses.stream(model="m", input="Hi", tools=[ADD | {"strict": True}]) as events:  # type: ignore[list-item]
        first = events.get_final_response()
    dumped: list[Any] = [item.model_dump() for item in first.output]
    assert "parsed" in dumped[0]["content"][0]
    assert dumped[1]["parsed_arguments"] == {"a": 1, "b": 2}

    second = client.responses.create(model="m", input=[USER, *dumped, output(dumped[1])])  # type: ignore[list-item]

    assert second.output_text == "3"
