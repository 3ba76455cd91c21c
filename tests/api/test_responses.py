"""POST /v1/responses, answered as JSON: what the model is asked, what the client is told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from pydantic import BaseModel
from tests.api.asking import (
    ADD,
    CLOCK,
    JSON_TYPE,
    STRICT_ADD,
    Json,
    Like,
    called,
    fault,
    message,
    refused,
    response,
    some_id,
    usage,
    whole,
)
from tests.conftest import Running, checked_client
from tests.ledger import covers
from tests.papers import picture_url
from tests.scripted import Answer, Called, Upstream, Usage

from antiphon.config import BackendSettings, Config, Server

Ask = Callable[..., Any]


@pytest.fixture
def ask(client: OpenAI) -> Ask:
    """Asks a model `m` for a response."""

    def create(given: Any = "Hi", **members: Any) -> Any:
        return client.responses.create(model="m", input=given, **members)

    return create


def asked(upstream: Upstream) -> Any:
    """The messages that the upstream got last."""
    return upstream.last.body["messages"]


# ---- plain ------------------------------------------------------------------------------------------


def test_a_minimal_request_is_answered_with_every_default(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))

    assert whole(ask()) == response(message("Hello"))


def test_a_minimal_request_asks_the_upstream_for_nothing_else(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))

    ask()

    assert upstream.last.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": False,
    }


def test_a_stream_is_read_as_a_stream(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))

    list(ask(stream=True))

    assert upstream.last.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_the_items_of_a_response_share_the_beginning_of_its_id(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Hello", reasoning="Hm", calls=[Called("add")]))

    told = ask(tools=[ADD])

    run = told.id.removeprefix("resp_")[:18]
    assert [item.id.partition("_")[2][:18] for item in told.output] == [run] * 3


ECHOES: list[Json] = [
    {"frequency_penalty": 0.5, "presence_penalty": -0.5},
    {"instructions": "Be brief."},
    {"max_output_tokens": 16},
    {"max_tool_calls": 3},
    {"metadata": {"a": "b"}},
    {"parallel_tool_calls": False},
    {"prompt_cache_key": "k"},
    {"prompt_cache_retention": "24h"},
    {"reasoning": {"effort": "low", "summary": "concise"}},
    {"reasoning": {"effort": None, "summary": "detailed", "context": "all_turns"}},
    {"safety_identifier": "s"},
    {"store": False},
    {"temperature": 0.0, "top_p": 0.0},
    {"temperature": 2.0, "top_p": 1.0},
    {"text": {"format": {"type": "json_object"}, "verbosity": "low"}},
    {"tool_choice": "none", "tools": [ADD]},
    {"top_logprobs": 3},
    {"truncation": "disabled"},
    {"user": "u"},
    {"service_tier": "default"},
]


@covers(
    "param.frequency_penalty",
    "param.presence_penalty",
    "param.instructions",
    "param.max_output_tokens",
    "param.max_tool_calls",
    "param.metadata",
    "param.parallel_tool_calls",
    "param.prompt_cache_key",
    "param.prompt_cache_retention",
    "param.reasoning",
    "param.safety_identifier",
    "param.store",
    "param.temperature",
    "param.top_p",
    "param.text",
    "param.tool_choice",
    "param.tools",
    "param.top_logprobs",
    "param.truncation",
    "param.user",
    "param.service_tier",
)
@pytest.mark.parametrize("members", ECHOES, ids=lambda members: "+".join(members))
def test_what_was_asked_is_echoed(ask: Ask, upstream: Upstream, members: Json) -> None:
    said = "{}" if members.get("text", {}).get("format", {}).get("type") == "json_object" else "Hello"
    upstream.script(Answer(said))

    assert whole(ask(extra_body=members)) == response(message(said), **members)


def test_null_is_as_good_as_left_out(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    nothing = dict.fromkeys(
        [
            "background",
            "conversation",
            "frequency_penalty",
            "include",
            "instructions",
            "max_output_tokens",
            "max_tool_calls",
            "metadata",
            "moderation",
            "parallel_tool_calls",
            "presence_penalty",
            "previous_response_id",
            "prompt",
            "prompt_cache_key",
            "prompt_cache_retention",
            "reasoning",
            "safety_identifier",
            "service_tier",
            "store",
            "stream",
            "stream_options",
            "temperature",
            "top_logprobs",
            "top_p",
            "truncation",
            "context_management",
        ]
    )

    assert whole(ask(extra_body=nothing)) == response(message("Hello"))


def test_an_empty_answer_is_a_response_without_output(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer(""))

    assert whole(ask()) == response()


# ---- input ------------------------------------------------------------------------------------------

IMAGE = picture_url()
SUNNY = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}


def assistant_called(*calls: tuple[str, str, str], **members: Any) -> Json:
    """The assistant's message with calls, as Chat Completions has it."""
    told = [
        {"id": i, "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, name, arguments in calls
    ]
    return {"role": "assistant", "content": None, **members, "tool_calls": told}


def call_item(call_id: str = "call_1", **members: Any) -> Json:
    base = {"type": "function_call", "call_id": call_id, "name": "weather", "arguments": '{"in":"SF"}'}
    return base | members


def output_item(output: Any = "sunny", call_id: str = "call_1", **members: Any) -> Json:
    return {"type": "function_call_output", "call_id": call_id, "output": output, **members}


CALLED = assistant_called(("call_1", "weather", '{"in":"SF"}'))

INPUTS: dict[str, tuple[list[Json], list[Json]]] = {
    "text as content": ([{"role": "user", "content": "Hi"}], [{"role": "user", "content": "Hi"}]),
    "parts as content": (
        [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}],
        [{"role": "user", "content": "Hi"}],
    ),
    "a developer": (
        [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    ),
    "several system messages": (
        [
            {"role": "developer", "content": "One"},
            {"role": "system", "content": "Two"},
            {"role": "user", "content": "Hi"},
        ],
        [{"role": "system", "content": "One\n\nTwo"}, {"role": "user", "content": "Hi"}],
    ),
    "what the assistant said": (
        [
            {"role": "user", "content": "Hi"},
            {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Hello", "annotations": []}],
            },
            {"role": "assistant", "content": "Anybody there?"},
            {"role": "user", "content": "Yes"},
        ],
        [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello\n\nAnybody there?"},
            {"role": "user", "content": "Yes"},
        ],
    ),
    "an image": (
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is it?"},
                    {"type": "input_image", "image_url": IMAGE},
                ],
            }
        ],
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": IMAGE}},
                ],
            }
        ],
    ),
    "a call and its output, as the AI SDK sends them": (
        [{"role": "user", "content": "Weather?"}, call_item(), output_item()],
        [{"role": "user", "content": "Weather?"}, CALLED, SUNNY],
    ),
    "a call and its output, as openai-agents sends them": (
        [
            {"content": "Weather?", "role": "user"},
            call_item(id="fc_18ea05a2437414b4", status="completed"),
            output_item(status="completed"),
        ],
        [{"role": "user", "content": "Weather?"}, CALLED, SUNNY],
    ),
    "a call and its output, as Codex sends them": (
        [
            {
                "type": "message",
                "id": "msg_01a1fd68-eb41-7783-ad5e-68d7e8f2e4e2",
                "role": "user",
                "content": [{"type": "input_text", "text": "Weather?"}],
            },
            call_item(id="fc_18ea04fa3207dcf9"),
            output_item(id="fco_01a1fd68-eb76-75e3-bd1c-7481dd0a6bae"),
        ],
        [{"role": "user", "content": "Weather?"}, CALLED, SUNNY],
    ),
    "an output in parts": (
        [
            {"role": "user", "content": "Weather?"},
            call_item(),
            output_item([{"type": "input_text", "text": "sun"}, {"type": "input_text", "text": "ny"}]),
        ],
        [{"role": "user", "content": "Weather?"}, CALLED, SUNNY],
    ),
    "an empty output": (
        [{"role": "user", "content": "Weather?"}, call_item(), output_item("")],
        [{"role": "user", "content": "Weather?"}, CALLED, SUNNY | {"content": ""}],
    ),
    "parallel calls": (
        [
            {"role": "user", "content": "Weather?"},
            call_item("call_1"),
            call_item("call_2"),
            output_item("rainy", "call_2"),
            output_item("sunny", "call_1"),
        ],
        [
            {"role": "user", "content": "Weather?"},
            assistant_called(("call_1", "weather", '{"in":"SF"}'), ("call_2", "weather", '{"in":"SF"}')),
            SUNNY,
            SUNNY | {"tool_call_id": "call_2", "content": "rainy"},
        ],
    ),
    "words before a call": (
        [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": "I look.", "phase": "commentary"},
            call_item(),
            output_item(),
        ],
        [
            {"role": "user", "content": "Weather?"},
            assistant_called(("call_1", "weather", '{"in":"SF"}'), content="I look."),
            SUNNY,
        ],
    ),
    "a refusal": (
        [
            {"role": "user", "content": "Hi"},
            {
                "type": "message",
                "id": "msg_1",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "refusal", "refusal": "No."}],
            },
            {"role": "user", "content": "Please"},
        ],
        [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "No."},
            {"role": "user", "content": "Please"},
        ],
    ),
}


@pytest.mark.parametrize(("items", "messages"), INPUTS.values(), ids=INPUTS.keys())
def test_input_items_become_messages(
    ask: Ask, upstream: Upstream, items: list[Json], messages: list[Json]
) -> None:
    upstream.script(Answer("ok"))

    ask(items)

    assert asked(upstream) == messages


def test_an_image_in_a_functions_output_reaches_the_model(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("A cat"))
    picture = {"type": "input_image", "image_url": IMAGE}

    ask([{"role": "user", "content": "Look"}, call_item(), output_item([picture])])

    assert {"type": "image_url", "image_url": {"url": IMAGE}} in [
        part for said in asked(upstream) if isinstance(said.get("content"), list) for part in said["content"]
    ]


@pytest.mark.parametrize("given", ["", []])
def test_nothing_to_answer_is_refused(ask: Ask, given: Any) -> None:
    with refused(400, "missing_required_parameter"):
        ask(given)


def test_an_absent_input_is_refused(http: httpx2.Client) -> None:
    told = http.post("/v1/responses", json={"model": "m"})

    assert fault(told) == (400, "invalid_request_error", "missing_required_parameter", "input")


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({"input": "x"}, "missing_required_parameter", "model"),
        ({"model": None, "input": "x"}, "invalid_type", "model"),
        ({"model": 7, "input": "x"}, "invalid_type", "model"),
        ({"model": "", "input": "x"}, "model_not_found", "model"),
        ({"model": "m", "input": None}, "invalid_type", "input"),
        ({"model": "m", "input": {}}, "invalid_type", "input"),
        ({"model": "m", "input": [7]}, "invalid_type", "input[0]"),
        ({"model": "m", "input": [{"type": "bogus"}]}, "invalid_value", "input[0]"),
        ({"model": "m", "input": [{"role": "bogus", "content": "x"}]}, "invalid_value", "input[0]"),
        ({"model": "m", "input": [{"role": "user"}]}, "missing_required_parameter", "input[0].content"),
        ({"model": "m", "input": "x", "n": 2}, "unknown_parameter", "n"),
        ({"model": "m", "messages": []}, "unsupported_parameter", None),
        ({"model": "m", "input": "x", "temperature": 3}, "decimal_above_max_value", "temperature"),
        ({"model": "m", "input": "x", "max_tool_calls": 0}, "integer_below_min_value", "max_tool_calls"),
        ({"model": "m", "input": "x", "include": ["bogus"]}, "invalid_value", "include[0]"),
        ({"model": "m", "input": "x", "tools": [{}]}, "missing_required_parameter", "tools[0].type"),
        ({"model": "m", "input": "x", "tool_choice": "bogus"}, "invalid_value", "tool_choice"),
        ({"model": "m", "input": "x", "tool_choice": 7}, "invalid_type", "tool_choice"),
        ({"model": "m", "input": "x", "text": {"zzz": 1}}, "unknown_parameter", "text.zzz"),
        (
            {"model": "m", "input": "x", "metadata": {str(n): "" for n in range(17)}},
            "object_above_max_properties",
            "metadata",
        ),
        (
            {"model": "m", "input": "x", "previous_response_id": "resp_1", "conversation": "conv_1"},
            "mutually_exclusive_parameters",
            None,
        ),
        ({"model": "m", "input": "x", "stream_options": {}}, None, "stream_options"),
    ],
    ids=lambda value: None if isinstance(value, dict) else str(value),
)
def test_a_wrong_request_is_refused_with_its_place(
    http: httpx2.Client, upstream: Upstream, body: Json, code: str | None, param: str | None
) -> None:
    told = http.post("/v1/responses", json=body)

    assert fault(told) == (400, "invalid_request_error", code, param)
    assert upstream.requests == []


# ---- what is not there yet is refused ---------------------------------------------------------------


@covers("param.moderation")
@pytest.mark.parametrize(
    ("members", "code", "param"),
    [
        ({"moderation": {"model": "x"}}, "unsupported_parameter", "moderation"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else None,
)
def test_what_is_not_there_yet_is_refused_and_never_ignored(
    ask: Ask, upstream: Upstream, members: Json, code: str, param: str
) -> None:
    with refused(400, code, param):
        ask(extra_body=members)

    assert upstream.requests == []


# ---- instructions -----------------------------------------------------------------------------------


@covers("param.instructions")
def test_instructions_come_before_everything_else(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("ok"))

    ask([{"role": "developer", "content": "Second"}, {"role": "user", "content": "Hi"}], instructions="First")

    assert asked(upstream) == [
        {"role": "system", "content": "First\n\nSecond"},
        {"role": "user", "content": "Hi"},
    ]


@covers("param.instructions", "param.previous_response_id")
def test_instructions_are_not_inherited(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Ahoy"), Answer("Hello"))
    first = ask(instructions="You are a pirate.")

    second = ask("And now?", previous_response_id=first.id)

    assert asked(upstream) == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Ahoy"},
        {"role": "user", "content": "And now?"},
    ]
    assert whole(second) == response(message("Hello"), previous_response_id=first.id)


# ---- functions --------------------------------------------------------------------------------------


@covers("tool.function.name", "tool.function.description", "tool.function.parameters")
@covers("tool.function", "item.output.function_call")
def test_a_function_call_is_the_clients_to_answer(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("add", '{"a": 1, "b": 2}')]))

    told = ask(tools=[STRICT_ADD])

    assert whole(told) == response(called("add", '{"a": 1, "b": 2}', "call_0"), tools=[STRICT_ADD])
    assert upstream.last.body["tools"] == [
        {"type": "function", "function": {name: STRICT_ADD[name] for name in STRICT_ADD if name != "type"}}
    ]


def test_what_a_function_leaves_out_is_echoed_filled_in(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("ok"))

    told = ask(extra_body={"tools": [{"type": "function", "name": "now"}]})

    assert whole(told)["tools"] == [
        {"type": "function", "name": "now", "description": None, "parameters": None, "strict": False}
    ]
    assert upstream.last.body["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}


def test_a_schema_is_passed_on_as_it_stands(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("ok"))
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": {"z": {"type": "string", "title": "Z"}, "a": {"$ref": "#/$defs/A"}},
        "required": ["z", "a"],
        "additionalProperties": False,
        "$defs": {"A": {"enum": [1, 2.5, None, "é\u2028"]}},
    }

    told = ask(tools=[{"type": "function", "name": "f", "parameters": schema, "strict": False}])

    assert json.dumps(upstream.last.body["tools"][0]["function"]["parameters"]) == json.dumps(schema)
    assert json.dumps(whole(told)["tools"][0]["parameters"]) == json.dumps(schema)


@covers("param.parallel_tool_calls")
def test_parallel_calls_are_items_one_after_another(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("I add.", calls=[Called("add", '{"a":1,"b":2}'), Called("add", '{"a":3,"b":4}')]))

    told = ask(tools=[ADD])

    assert whole(told)["output"] == [
        message("I add."),
        called("add", '{"a":1,"b":2}', "call_0"),
        called("add", '{"a":3,"b":4}', "call_1"),
    ]
    assert "parallel_tool_calls" not in upstream.last.body


@covers("param.parallel_tool_calls")
def test_that_calls_come_singly_is_said_to_the_model(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("add")]))

    ask(tools=[ADD], parallel_tool_calls=False)

    assert upstream.last.body["parallel_tool_calls"] is False


def test_a_call_without_an_id_gets_one_of_ours(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("add", id=None), Called("add", id=None)]))

    told = ask(tools=[ADD])

    ids = [call["call_id"] for call in whole(told)["output"]]
    assert ids == [Like("call_[A-Za-z0-9]{24}")] * 2
    assert len(set(ids)) == 2


def test_a_function_that_the_model_made_up_goes_to_the_client(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("subtract", '{"a":1}')]))

    assert whole(ask(tools=[ADD]))["output"] == [called("subtract", '{"a":1}', "call_0")]


def named(*tools: Json) -> list[str]:
    return [tool["name"] for tool in tools]


CHOICES: list[tuple[Any, Any, list[str]]] = [
    ("none", "none", ["add", "clock"]),
    ("auto", None, ["add", "clock"]),
    ("required", "required", ["add", "clock"]),
    (
        {"type": "function", "name": "clock"},
        {"type": "function", "function": {"name": "clock"}},
        ["add", "clock"],
    ),
    (
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "clock"}]},
        None,
        ["clock"],
    ),
    (
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "clock"}]},
        "required",
        ["clock"],
    ),
    (
        {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "clock"}, {"type": "function", "name": "clock"}],
        },
        None,
        ["clock"],
    ),
    ({"type": "allowed_tools", "mode": "auto", "tools": []}, None, []),
]


@covers(
    "tool_choice.none",
    "tool_choice.auto",
    "tool_choice.required",
    "tool_choice.function",
    "tool_choice.allowed_tools",
)
@pytest.mark.parametrize(("choice", "told", "offered"), CHOICES, ids=lambda value: json.dumps(value)[:60])
def test_the_choice_of_tools_reaches_the_model(
    ask: Ask, upstream: Upstream, choice: Any, told: Any, offered: list[str]
) -> None:
    upstream.script(Answer("ok", calls=[Called("clock")] if told not in (None, "none") else []))

    answer = ask(tools=[ADD, CLOCK], tool_choice=choice)

    body = upstream.last.body
    assert body.get("tool_choice") == told
    assert [tool["function"]["name"] for tool in body.get("tools", [])] == offered
    assert whole(answer)["tool_choice"] == choice
    assert named(*whole(answer)["tools"]) == ["add", "clock"]


@pytest.mark.parametrize(
    ("choice", "tools"),
    [
        ("required", []),
        ({"type": "function", "name": "absent"}, [ADD]),
        ({"type": "web_search"}, [ADD]),
        ({"type": "custom", "name": "add"}, [ADD]),
        ({"type": "mcp", "server_label": "x"}, [ADD]),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "absent"}]}, [ADD]),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "add"}]}, [ADD]),
        ({"type": "allowed_tools", "mode": "required", "tools": []}, [ADD]),
    ],
    ids=json.dumps,
)
def test_a_choice_that_cannot_be_made_is_refused(
    ask: Ask, upstream: Upstream, choice: Any, tools: list[Json]
) -> None:
    with refused(400, None, "tool_choice"):
        ask(tools=tools, tool_choice=choice)

    assert upstream.requests == []


def test_two_functions_of_one_name_are_refused(ask: Ask) -> None:
    with refused(400, None, "tools[1]"):
        ask(tools=[ADD, ADD])


def test_a_function_is_called_and_answered_in_a_chain(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("add", '{"a":1,"b":2}')]), Answer("3"))
    first = ask("1+2?", tools=[ADD])

    second = ask([output_item("3", first.output[0].call_id)], tools=[ADD], previous_response_id=first.id)

    assert asked(upstream) == [
        {"role": "user", "content": "1+2?"},
        assistant_called(("call_0", "add", '{"a":1,"b":2}')),
        {"role": "tool", "tool_call_id": "call_0", "content": "3"},
    ]
    assert second.output_text == "3"


# ---- pairs and ids ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ([call_item()], "No tool output found for function call call_1."),
        ([call_item(), call_item("call_2"), output_item()], "No tool output found for function call call_2."),
        ([output_item()], "No tool call found for function call output with call_id call_1."),
        ([output_item(), call_item()], "No tool call found for function call output with call_id call_1."),
    ],
)
def test_calls_and_outputs_must_be_paired(ask: Ask, items: list[Json], words: str) -> None:
    with refused(400, None, "input") as refusal:
        ask([{"role": "user", "content": "Hi"}, *items])

    assert refusal.message == words


def test_a_call_that_was_not_answered_keeps_its_chain_waiting(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("add")]))
    first = ask(tools=[ADD])

    with refused(400, None, "input") as refusal:
        ask("And now?", previous_response_id=first.id)

    assert refusal.message == "No tool output found for function call call_0."


@pytest.mark.parametrize(
    ("items", "code", "param"),
    [
        ([{"id": "x", "role": "user", "content": "Hi"}], "invalid_id_prefix", "input[0].id"),
        ([{"id": "msg_a b", "role": "user", "content": "Hi"}], "invalid_value", "input[0].id"),
        ([{"id": "msg_1", "role": "user", "content": "Hi"}] * 2, None, "input"),
        ([{"id": "msg_1", "role": "user", "content": "Hi"}, {"id": "msg_1"}], None, "input"),
    ],
)
def test_wrong_ids_are_refused(ask: Ask, items: list[Json], code: str | None, param: str) -> None:
    with refused(400, code, param):
        ask(items)


def test_an_item_that_the_chain_has_already_is_refused(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    first = ask()

    with refused(400, None, "input") as refusal:
        ask([whole(first.output[0]), {"role": "user", "content": "Hi"}], previous_response_id=first.id)

    assert refusal.message.startswith(f"Duplicate item found with id {first.output[0].id}.")


@covers("item.input.item_reference")
def test_a_reference_stands_for_a_kept_item(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"), Answer("You said hello."))
    first = ask()

    ask([{"type": "item_reference", "id": first.output[0].id}, {"role": "user", "content": "Why?"}])

    assert asked(upstream) == [
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Why?"},
    ]


@covers("item.input.item_reference")
@pytest.mark.parametrize("bare", [{"type": "item_reference"}, {}, {"type": None}])
def test_a_reference_to_nothing_is_not_found(ask: Ask, upstream: Upstream, bare: Json) -> None:
    upstream.script(Answer("Hello"))
    first = ask(store=False)

    with refused(404, None, "input"):
        ask([{**bare, "id": first.output[0].id}])


# ---- the form of the answer -------------------------------------------------------------------------

SCHEMA: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


@covers("param.text")
def test_an_answer_can_be_held_to_a_schema(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer('{"city": "Rome"}'))
    form = {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True, "description": "Where"}

    told = ask(text={"format": form})

    assert upstream.last.body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "place", "schema": SCHEMA, "strict": True, "description": "Where"},
    }
    assert whole(told) == response(message('{"city": "Rome"}'), text={"format": form, "verbosity": "medium"})


@covers("param.text")
def test_a_schema_is_echoed_filled_in(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("{}"))

    told = ask(text={"format": {"type": "json_schema", "name": "place", "schema": SCHEMA}})

    assert whole(told)["text"]["format"] == {
        "type": "json_schema",
        "name": "place",
        "schema": SCHEMA,
        "description": None,
        "strict": False,
    }


@covers("param.text")
def test_an_answer_can_be_any_json_object(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("{}"))

    ask(text={"format": {"type": "json_object"}})

    assert upstream.last.body["response_format"] == {"type": "json_object"}


class Place(BaseModel):
    city: str


def test_an_answer_is_parsed_into_a_pydantic_model(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer('{"city": "Rome"}'))

    told = client.responses.parse(model="m", input="Where?", text_format=Place)

    assert told.output_parsed == Place(city="Rome")


def test_arguments_are_parsed_by_the_client(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("add", '{"a":1,"b":2}')]))

    told = client.responses.parse(model="m", input="1+2?", tools=[STRICT_ADD])  # type: ignore[list-item]

    assert told.output[0].parsed_arguments == {"a": 1, "b": 2}  # type: ignore[union-attr]


# ---- sampling and ends ------------------------------------------------------------------------------


@covers(
    "param.temperature",
    "param.top_p",
    "param.frequency_penalty",
    "param.presence_penalty",
    "param.max_output_tokens",
)
def test_how_tokens_are_drawn_reaches_the_model(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("ok"))
    sampling = {"temperature": 0.0, "top_p": 0.5, "frequency_penalty": 1.0, "presence_penalty": -1.0}

    ask(max_output_tokens=16, extra_body=sampling)

    assert upstream.last.body == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": False,
        "max_tokens": 16,
        **sampling,
    }


@covers("param.max_output_tokens")
def test_an_answer_cut_off_by_its_limit_is_incomplete(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Once upon", finish="length"))

    told = ask(max_output_tokens=16)

    assert whole(told) == response(
        message("Once upon", status="incomplete"),
        status="incomplete",
        incomplete_details={"reason": "max_output_tokens"},
        completed_at=None,
        max_output_tokens=16,
    )


def test_only_the_item_that_was_cut_off_is_incomplete(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("I add.", calls=[Called("add", '{"a":')], finish="length"))

    assert whole(ask(tools=[ADD]))["output"] == [
        message("I add."),
        called("add", '{"a":', "call_0", status="incomplete"),
    ]


def test_an_answer_cut_off_by_a_filter_is_incomplete(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Once upon", finish="content_filter"))

    assert whole(ask()) == response(
        message("Once upon", status="incomplete"),
        status="incomplete",
        incomplete_details={"reason": "content_filter"},
        completed_at=None,
    )


@covers("param.top_logprobs", "include.message.output_text.logprobs")
def test_logprobs_come_with_the_include(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Hello", size=3))

    told = ask(top_logprobs=2, include=["message.output_text.logprobs"])

    assert (upstream.last.body["logprobs"], upstream.last.body["top_logprobs"]) == (True, 2)
    tops = [{"token": f"t{n}", "bytes": [116, 48 + n], "logprob": -1.0 - n} for n in range(2)]
    assert whole(told)["output"][0]["content"][0]["logprobs"] == [
        {"token": text, "bytes": list(text.encode()), "logprob": -0.5, "top_logprobs": tops}
        for text in ("Hel", "lo")
    ]


@covers("param.top_logprobs")
def test_logprobs_are_not_asked_for_without_the_include(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))

    told = ask(top_logprobs=2)

    assert "logprobs" not in upstream.last.body
    assert whole(told) == response(message("Hello"), top_logprobs=2)


@covers("include.message.output_text.logprobs")
def test_the_include_alone_asks_for_the_drawn_tokens(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))

    told = ask(include=["message.output_text.logprobs"])

    assert whole(told)["output"][0]["content"][0]["logprobs"] == [
        {"token": "Hello", "bytes": list(b"Hello"), "logprob": -0.5, "top_logprobs": []}
    ]


@pytest.mark.parametrize(
    "include",
    [
        "file_search_call.results",
        "web_search_call.results",
        "web_search_call.action.sources",
        "message.input_image.image_url",
        "computer_call_output.output.image_url",
        "code_interpreter_call.outputs",
    ],
)
def test_an_include_without_anything_to_include_changes_nothing(
    ask: Ask, upstream: Upstream, include: str
) -> None:
    upstream.script(Answer("Hello"))

    assert whole(ask(include=[include])) == response(message("Hello"))


def test_a_refusal_of_the_model_is_a_refusal(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer(refusal="I will not.", size=4))

    assert whole(ask())["output"] == [
        message("", content=[{"type": "refusal", "refusal": "I will not."}]),
    ]


def test_usage_reports_what_was_cached_and_what_was_reasoned(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Hello", usage=Usage(prompt=100, completion=50, cached=64, reasoning=32)))

    assert whole(ask())["usage"] == usage(100, 50, cached=64, reasoned=32)


def test_usage_that_nobody_reported_is_null(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Hello", usage=None))

    assert whole(ask()) == response(message("Hello"), usage=None)


# ---- reasoning --------------------------------------------------------------------------------------


def thought(text: str | None, *summary: str, **members: Any) -> Json:
    base: Json = {
        "id": some_id("rs"),
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": words} for words in summary],
    }
    content = {} if text is None else {"content": [{"type": "reasoning_text", "text": text}]}
    return base | content | members


@covers("item.output.reasoning")
@pytest.mark.parametrize("member", ["reasoning_content", "reasoning"])
def test_reasoning_comes_as_an_item_before_the_message(ask: Ask, upstream: Upstream, member: str) -> None:
    upstream.script(Answer("Hello", reasoning="The user greets.", reasoning_field=member, size=5))

    assert whole(ask())["output"] == [thought("The user greets."), message("Hello")]


@covers("item.output.reasoning")
def test_reasoning_between_tags_comes_as_an_item_too(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("<think>The user greets.</think>Hello", size=3))

    assert whole(ask())["output"] == [thought("The user greets."), message("Hello")]


@covers("param.reasoning")
def test_reasoning_is_its_own_summary_when_one_is_asked_for(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Hello", reasoning="The user greets."))

    told = ask(reasoning={"summary": "auto"})

    assert whole(told)["output"] == [thought(None, "The user greets."), message("Hello")]


def with_sealed(ask: Ask, upstream: Upstream, **members: Any) -> Any:
    upstream.script(Answer(calls=[Called("add", '{"a":1,"b":2}')], reasoning="I should add."))
    return ask("1+2?", tools=[ADD], store=False, include=["reasoning.encrypted_content"], **members)


@covers("include.reasoning.encrypted_content", "item.input.reasoning")
@pytest.mark.parametrize("members", [{}, {"reasoning": {"summary": "auto"}}])
def test_sealed_reasoning_comes_back_with_the_client(ask: Ask, upstream: Upstream, members: Json) -> None:
    """As an agent without state does it: everything is sent again, with the output of the call."""
    first = with_sealed(ask, upstream, **members)
    reasoning, call = map(whole, first.output)
    upstream.script(Answer("3"))

    replayed = {name: value for name, value in reasoning.items() if name != "content"} | {"summary": []}
    ask(
        [{"role": "user", "content": "1+2?"}, replayed, call, output_item("3", "call_0")],
        tools=[ADD],
        store=False,
        include=["reasoning.encrypted_content"],
    )

    assert reasoning["encrypted_content"] == Like("[A-Za-z0-9_=-]{40,}")
    assert "I should add." not in reasoning["encrypted_content"]
    assert [said["role"] for said in asked(upstream)] == ["user", "assistant", "tool"]


def test_sealed_reasoning_is_read_by_a_model_that_takes_it(upstream: Upstream, tmp_path: Path) -> None:
    upstream.lenient = True
    told = BackendSettings(base_url=upstream.base_url, default=True, dialect="vllm")
    config = Config(data_dir=str(tmp_path), server=Server(verify=True), backends={"vllm": told})
    with Running(config) as running, checked_client(running.url) as client:

        def ask(given: Any, **members: Any) -> Any:
            return client.responses.create(model="m", input=given, **members)

        first = with_sealed(ask, upstream)
        replayed = [{k: v for k, v in whole(item).items() if k != "content"} for item in first.output]
        upstream.script(Answer("3"))
        ask([{"role": "user", "content": "1+2?"}, *replayed, output_item("3", "call_0")], store=False)

    assert upstream.last.body["messages"][1]["reasoning"] == "I should add."


def test_sealed_reasoning_of_another_server_is_refused(ask: Ask) -> None:
    foreign = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAABo"}

    with refused(400, "invalid_encrypted_content", "input"):
        ask([foreign, {"role": "user", "content": "Hi"}])


# ---- state ------------------------------------------------------------------------------------------


@covers("param.previous_response_id")
def test_a_chain_gives_the_model_the_whole_history(ask: Ask, upstream: Upstream) -> None:
    upstream.script(*(Answer(f"Answer {n}") for n in range(4)))
    last = None

    for n in range(4):
        last = ask(f"Question {n}", previous_response_id=last.id if last else None)

    spoken = [(said["role"], said["content"]) for said in asked(upstream)]
    assert spoken == [
        ("user", "Question 0"),
        ("assistant", "Answer 0"),
        ("user", "Question 1"),
        ("assistant", "Answer 1"),
        ("user", "Question 2"),
        ("assistant", "Answer 2"),
        ("user", "Question 3"),
    ]


@covers("param.previous_response_id")
def test_a_chain_can_fork_at_any_response(ask: Ask, upstream: Upstream) -> None:
    upstream.script(*(Answer(text) for text in ("Root", "Left", "Right", "Left again")))
    root = ask("0")
    left = ask("1", previous_response_id=root.id)

    ask("2", previous_response_id=root.id)
    right_saw = [said["content"] for said in asked(upstream)]
    ask("3", previous_response_id=left.id)
    left_saw = [said["content"] for said in asked(upstream)]

    assert right_saw == ["0", "Root", "2"]
    assert left_saw == ["0", "Root", "1", "Left", "3"]


def test_a_chain_goes_on_without_new_input(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"), Answer("And more"))
    first = ask()

    second = ask([], previous_response_id=first.id)

    assert second.output_text == "And more"
    assert [said["content"] for said in asked(upstream)][:2] == ["Hi", "Hello"]


@covers("error.previous_response_not_found")
@pytest.mark.parametrize(
    ("unknown", "code"),
    [
        ("resp_unknown", "previous_response_not_found"),
        ("resp_" + "x" * 5000, "previous_response_not_found"),
        ("", "invalid_id_prefix"),
        ("x" * 5000, "invalid_id_prefix"),
        ("msg_1", "invalid_id_prefix"),
        ("resp_\x00", "invalid_value"),
        ("../../etc", "invalid_value"),
    ],
)
def test_chaining_onto_nothing_is_refused(ask: Ask, unknown: str, code: str) -> None:
    with refused(400, code, "previous_response_id"):
        ask(previous_response_id=unknown)


@covers("param.store")
def test_a_response_that_is_not_stored_leaves_nothing(client: OpenAI, ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))

    told = ask(store=False)

    assert whole(told) == response(message("Hello"), store=False)
    with refused(404, None, "id"):
        client.responses.retrieve(told.id)
    with refused(400, "previous_response_not_found", "previous_response_id"):
        ask(previous_response_id=told.id)
    with refused(404, None, "id"):
        client.responses.input_items.list(told.id)


# ---- what a hostile client sends --------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["\x00", "\ud7ff\ue000\U0010ffff", "\u2028\u2029", '"\\', "é" * 100_000, " "], ids=ascii
)
def test_any_text_goes_there_and_back(ask: Ask, upstream: Upstream, text: str) -> None:
    upstream.script(Answer(text, size=7_001))

    told = ask(text, metadata={"k": text[:500]})

    assert asked(upstream) == [{"role": "user", "content": text}]
    assert told.output_text == text


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"m","input":"\\ud800"}',
        b'{"model":"m","input":"x","temperature":1e999}',
        b'{"model":"m","input":"x","temperature":NaN}',
        b'{"model":"m","input":"x","max_output_tokens":1e2}',
        b'{"model":"m","input":"x","metadata":' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}",
        b'{"model":"m","input":' + b"[" * 100_000 + b"}",
        b'{"model":"m","input":"x","top_logprobs":-9223372036854775809}',
        b'{"model":"m","input":"x","top_logprobs":' + b"9" * 5000 + b"}",
        b'{"model":"\xff","input":"x"}',
    ],
    ids=lambda body: body[:60].decode(errors="replace"),
)
def test_hostile_json_is_refused(http: httpx2.Client, upstream: Upstream, body: bytes) -> None:
    told = http.post("/v1/responses", content=body, headers=JSON_TYPE)

    assert told.status_code == 400, told.text
    assert told.json()["error"]["type"] == "invalid_request_error"
    assert upstream.requests == []


@pytest.mark.parametrize("depth", [100, 400, 900, 5000])
def test_a_deep_schema_is_passed_on_or_refused(http: httpx2.Client, upstream: Upstream, depth: int) -> None:
    upstream.default = Answer("ok")
    schema = b'{"type":"object","properties":' + b'{"a":' * depth + b"{}" + b"}" * depth + b"}"
    body = b'{"model":"m","input":"x","tools":[{"type":"function","name":"f","parameters":%b}]}' % schema

    told = http.post("/v1/responses", content=body, headers=JSON_TYPE)

    assert told.status_code in (200, 400), told.text


def test_members_given_twice_do_no_harm(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer("ok"))

    told = http.post(
        "/v1/responses", content=b'{"model":"x","model":"m","input":"a","input":"b"}', headers=JSON_TYPE
    )

    assert (told.status_code, asked(upstream)) == (200, [{"role": "user", "content": "b"}])


def test_what_codex_says_of_its_session_is_welcome(ask: Ask, upstream: Upstream) -> None:
    upstream.script(Answer("ok"))

    told = ask(extra_body={"client_metadata": {"turn_id": "1", "nested": {"a": [1]}}})

    assert whole(told) == response(message("ok"))
