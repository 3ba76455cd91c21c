"""Every parameter of POST /responses: what the ledger says is what happens.

The server's upstream here speaks OpenAI's dialect, which has a place for every parameter.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from tests.conftest import Running, config_for
from tests.ledger import case, covers, ids_of
from tests.scripted import Answer, Called, Upstream

Json = dict[str, Any]
LOOK = {"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": True}
LISTEN = {"type": "function", "name": "listen", "parameters": {"type": "object"}, "strict": True}
SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
    "additionalProperties": False,
}
JSON_SCHEMA = {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def server(_upstream: Upstream, data_dir: Path) -> Iterator[Running]:
    config = config_for(_upstream, data_dir)
    backends = {name: replace(held, dialect="openai") for name, held in config.backends.items()}
    with Running(replace(config, backends=backends)) as running:
        yield running


def ask(http: httpx2.Client, **members: Any) -> Json:
    """A response that goes well."""
    answer = http.post("/v1/responses", json={"model": "m", "input": "hi", **members})
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(http: httpx2.Client, **members: Any) -> tuple[int, str | None, str | None]:
    answer = http.post("/v1/responses", json={"model": "m", "input": "hi", **members})
    error = answer.json()["error"]
    return answer.status_code, error["param"], error["code"]


def same_where_named(value: Json, named: Json) -> Json:
    return {name: value.get(name) for name in named}


# ---- parameters that act: what the upstream gets, and what the response shows ------------------------

TOLD_FUNCTION = {"name": "look", "parameters": {"type": "object"}, "strict": True}
FORCED = {"type": "function", "function": {"name": "look"}}
TOLD = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}

ACTING = [
    case("param.model", {"model": "another"}, {"model": "another"}, {"model": "another"}),
    case(
        "param.input",
        {"input": "hi"},
        {"messages": [{"role": "user", "content": "hi"}]},
        {},
    ),
    case(
        "param.instructions",
        {"instructions": "Be brief."},
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]},
        {"instructions": "Be brief."},
    ),
    case("param.temperature", {"temperature": 0.5}, {"temperature": 0.5}, {"temperature": 0.5}),
    case("param.top_p", {"top_p": 0.5}, {"top_p": 0.5}, {"top_p": 0.5}),
    case(
        "param.frequency_penalty",
        {"frequency_penalty": 0.5},
        {"frequency_penalty": 0.5},
        {"frequency_penalty": 0.5},
    ),
    case(
        "param.presence_penalty",
        {"presence_penalty": -0.5},
        {"presence_penalty": -0.5},
        {"presence_penalty": -0.5},
    ),
    case(
        "param.max_output_tokens",
        {"max_output_tokens": 16},
        {"max_completion_tokens": 16},
        {"max_output_tokens": 16},
    ),
    case(
        "param.top_logprobs",
        {"top_logprobs": 2, "include": ["message.output_text.logprobs"]},
        {"logprobs": True, "top_logprobs": 2},
        {"top_logprobs": 2},
        also=("param.include",),
    ),
    case(
        "param.tools",
        {"tools": [LOOK]},
        {"tools": [{"type": "function", "function": TOLD_FUNCTION}]},
        {"tools": [{**LOOK, "description": None}]},
        also=("tool.function", "tool.function.strict"),
    ),
    case(
        "param.tool_choice",
        {"tools": [LOOK], "tool_choice": {"type": "function", "name": "look"}},
        {"tool_choice": FORCED},
        {"tool_choice": {"type": "function", "name": "look"}},
        also=("tool_choice.function",),
    ),
    case(
        "tool_choice.none",
        {"tools": [LOOK], "tool_choice": "none"},
        {"tool_choice": "none"},
        {"tool_choice": "none"},
    ),
    case(
        "tool_choice.auto",
        {"tools": [LOOK], "tool_choice": "auto"},
        {"tool_choice": None},
        {"tool_choice": "auto"},
    ),
    case(
        "param.parallel_tool_calls",
        {"tools": [LOOK], "parallel_tool_calls": False},
        {"parallel_tool_calls": False},
        {"parallel_tool_calls": False},
    ),
    case(
        "param.reasoning.effort",
        {"reasoning": {"effort": "high"}},
        {"reasoning_effort": "high"},
        {"reasoning": {"effort": "high", "summary": None}},
        also=("param.reasoning",),
    ),
    case(
        "param.text.verbosity",
        {"text": {"verbosity": "low"}},
        {"verbosity": "low"},
        {"text": {"format": {"type": "text"}, "verbosity": "low"}},
        also=("param.text",),
    ),
    case(
        "param.text.format.json_schema",
        {"text": {"format": JSON_SCHEMA}},
        {"response_format": TOLD},
        {"text": {"format": {**JSON_SCHEMA, "description": None}, "verbosity": "medium"}},
        also=("param.text.format",),
    ),
    case(
        "param.text.format.json_object",
        {"text": {"format": {"type": "json_object"}}},
        {"response_format": {"type": "json_object"}},
        {"text": {"format": {"type": "json_object"}, "verbosity": "medium"}},
    ),
    case(
        "param.text.format.text",
        {"text": {"format": {"type": "text"}}},
        {"response_format": None},
        {"text": {"format": {"type": "text"}, "verbosity": "medium"}},
    ),
    case("param.user", {"user": "me"}, {"user": "me"}, {"user": "me"}),
    case(
        "param.safety_identifier",
        {"safety_identifier": "it", "user": "me"},
        {"safety_identifier": "it", "user": "me"},
        {"safety_identifier": "it", "user": "me"},
    ),
    case(
        "param.prompt_cache_key",
        {"prompt_cache_key": "k"},
        {"prompt_cache_key": "k"},
        {"prompt_cache_key": "k"},
    ),
    case(
        "param.prompt_cache_retention.in_memory",
        {"prompt_cache_retention": "in_memory"},
        {"prompt_cache_retention": "in_memory"},
        {"prompt_cache_retention": "in_memory"},
        also=("param.prompt_cache_retention",),
    ),
    case(
        "param.prompt_cache_retention.in-memory",
        {"prompt_cache_retention": "in-memory"},
        {"prompt_cache_retention": "in_memory"},
        {"prompt_cache_retention": "in_memory"},
    ),
    case(
        "param.prompt_cache_retention.24h",
        {"prompt_cache_retention": "24h"},
        {"prompt_cache_retention": "24h"},
        {"prompt_cache_retention": "24h"},
    ),
    case(
        "param.prompt_cache_options",
        {"prompt_cache_options": {}},
        {"prompt_cache_options": None},
        {"prompt_cache_options": {"mode": "implicit", "ttl": "30m"}},
    ),
    case(
        "param.prompt_cache_options.mode",
        {"prompt_cache_options": {"mode": "explicit", "comparison_response_id": "resp_1"}},
        {"prompt_cache_options": {"mode": "explicit"}},
        {
            "prompt_cache_options": {
                "mode": "explicit",
                "ttl": "30m",
                "comparison_response_id": "resp_1",
            }
        },
    ),
    case(
        "param.prompt_cache_options.ttl",
        {"prompt_cache_options": {"ttl": "12h"}},
        {"prompt_cache_options": {"ttl": "12h"}},
        {"prompt_cache_options": {"mode": "implicit", "ttl": "12h"}},
    ),
    case(
        "param.service_tier",
        {"service_tier": "flex"},
        {"service_tier": "flex"},
        {"service_tier": "default"},
    ),
    case("param.metadata", {"metadata": {"a": "b"}}, {"metadata": None}, {"metadata": {"a": "b"}}),
    case(
        "param.truncation.disabled",
        {"truncation": "disabled"},
        {},
        {"truncation": "disabled"},
        also=("param.truncation",),
    ),
    case("param.store", {"store": False}, {"store": None}, {"store": False}),
]


@pytest.mark.parametrize(("members", "told", "shown"), ACTING)
def test_a_parameter_reaches_the_model_and_is_shown(
    http: httpx2.Client, upstream: Upstream, members: Json, told: Json, shown: Json
) -> None:
    text = '{"a": "Hello"}' if "response_format" in told else "Hello"
    upstream.script(Answer(text, calls=[Called("look")] if told.get("tool_choice") == FORCED else []))
    response = ask(http, **members)
    assert same_where_named(upstream.last.body, told) == told
    assert same_where_named(response, shown) == shown


@covers("tool.function.output_schema")
def test_the_model_reads_what_a_function_returns(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    ask(http, tools=[{**LOOK, "output_schema": SCHEMA}])
    told = upstream.last.body["tools"][0]["function"]["description"]
    assert json.dumps(SCHEMA, separators=(",", ":")) in told


@pytest.mark.parametrize("row_id", ids_of("param.service_tier"))
@covers(*ids_of("param.service_tier"))
def test_every_service_tier_reaches_the_upstream(
    http: httpx2.Client, upstream: Upstream, row_id: str
) -> None:
    tier = row_id.rpartition(".")[2]
    upstream.script(Answer("Hello"))
    assert ask(http, service_tier=tier)["service_tier"] == "default"
    assert upstream.last.body["service_tier"] == tier


@covers("tool_choice.required", "tool_choice.allowed_tools")
def test_a_call_can_be_required_of_some_tools_alone(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("look")]), Answer(calls=[Called("look")]))
    ask(http, tools=[LOOK, LISTEN], tool_choice="required")
    assert upstream.last.body["tool_choice"] == "required"
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "look"}]}
    response = ask(http, tools=[LOOK, LISTEN], tool_choice=choice)
    assert [tool["function"]["name"] for tool in upstream.last.body["tools"]] == ["look"]
    assert upstream.last.body["tool_choice"] == "required"
    assert [tool["name"] for tool in response["tools"]] == ["look", "listen"]
    assert same_where_named(response["tool_choice"], choice) == choice


# ---- state and streams ------------------------------------------------------------------------------


@covers("param.previous_response_id", "param.conversation", "param.conversation.id")
@pytest.mark.parametrize("form", ["previous_response_id", "conversation", "conversation.id"])
def test_what_was_said_before_reaches_the_model(http: httpx2.Client, upstream: Upstream, form: str) -> None:
    upstream.script(Answer("One"), Answer("Two"))
    state: Json = {}
    if form.startswith("conversation"):
        conversation = http.post("/v1/conversations", json={}).json()
        named = conversation["id"] if form == "conversation" else {"id": conversation["id"]}
        state = {"conversation": named}
    first = ask(http, **state)
    second = ask(http, **(state or {"previous_response_id": first["id"]}))
    told = [(message["role"], message["content"]) for message in upstream.last.body["messages"]]
    assert told == [("user", "hi"), ("assistant", "One"), ("user", "hi")]
    if state:
        assert second["conversation"] == {"id": conversation["id"]}
    else:
        assert second["previous_response_id"] == first["id"]


@covers("param.stream", "param.stream_options", "param.stream_options.include_obfuscation")
@pytest.mark.parametrize("options", [None, {"include_obfuscation": True}, {"include_obfuscation": False}])
def test_deltas_hide_their_size_unless_asked_not_to(
    http: httpx2.Client, upstream: Upstream, options: Json | None
) -> None:
    upstream.script(Answer("Hello there", size=5))
    body = {"model": "m", "input": "hi", "stream": True, "stream_options": options}
    text = http.post("/v1/responses", json=body).text
    deltas = [
        json.loads(data)
        for data in re.findall(r'^data: (\{"type":"response.output_text.delta".*)', text, re.M)
    ]
    assert [delta["delta"] for delta in deltas] == ["Hello", " ther", "e"]
    hidden = not options or options["include_obfuscation"]
    assert {("obfuscation" in delta) for delta in deltas} == {hidden}


@covers("param.reasoning.summary", "param.reasoning.generate_summary")
@pytest.mark.parametrize("name", ["summary", "generate_summary"])
def test_a_summary_of_the_reasoning_is_emitted_when_asked_for(
    http: httpx2.Client, upstream: Upstream, name: str
) -> None:
    upstream.script(Answer("Hello", reasoning="Hm."), Answer("Hello", reasoning="Hm."))
    plain = ask(http)["output"][0]
    assert (plain["summary"], plain["content"]) == ([], [{"type": "reasoning_text", "text": "Hm."}])
    summarized = ask(http, reasoning={name: "auto"})
    assert summarized["output"][0]["summary"] == [{"type": "summary_text", "text": "Hm."}]
    assert summarized["reasoning"]["summary"] == "detailed"


SPOKEN = [
    {"role": "user", "content": "hi"},
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "again"},
]


@covers("param.reasoning.context")
def test_old_reasoning_reaches_the_model_when_all_turns_are_asked_for(
    upstream: Upstream, tmp_path: Path
) -> None:
    config = config_for(upstream, tmp_path)
    backends = {name: replace(held, dialect="vllm") for name, held in config.backends.items()}
    upstream.lenient = True
    upstream.default = Answer("Hello")
    with (
        Running(replace(config, backends=backends)) as running,
        httpx2.Client(base_url=running.url) as http,
    ):
        for context, reasoning in (("auto", None), ("current_turn", None), ("all_turns", "Hm.")):
            shown = ask(http, input=SPOKEN, reasoning={"context": context})
            assert shown["reasoning"] == {"effort": None, "summary": None, "context": context}
            assert upstream.last.body["messages"][1].get("reasoning") == reasoning


# ---- parameters that are accepted and do nothing more ------------------------------------------------

NOT_SHOWN: Json = {}
ECHOING = [
    case(
        "param.prompt_cache_options.comparison_response_id",
        {"prompt_cache_options": {"comparison_response_id": "resp_1"}},
        {"prompt_cache_options": {"mode": "implicit", "ttl": "30m", "comparison_response_id": "resp_1"}},
    ),
    case("param.image", {"image": {}}, {"image": {"context_compression": "disabled"}}),
    case(
        "param.image.context_compression",
        {"image": {"context_compression": "auto"}},
        {"image": {"context_compression": "disabled"}},
    ),
    case("param.client_metadata", {"client_metadata": {"session": [1]}}, NOT_SHOWN),
]


@pytest.mark.parametrize(("members", "shown"), ECHOING)
def test_a_parameter_is_accepted_and_changes_nothing_for_the_model(
    http: httpx2.Client, upstream: Upstream, members: Json, shown: Json
) -> None:
    upstream.script(Answer("Hello"), Answer("Hello"))
    ask(http)
    response = ask(http, **members)
    assert upstream.requests[0].body == upstream.requests[1].body
    assert same_where_named(response, shown) == shown


# ---- parameters that are refused ---------------------------------------------------------------------

UNSUPPORTED = "unsupported_parameter"
REFUSED = [
    case(
        "param.prompt_cache_options.prewarm",
        {"prompt_cache_options": {"prewarm": True}},
        "prompt_cache_options.prewarm",
        UNSUPPORTED,
    ),
]


@pytest.mark.parametrize(("members", "param", "code"), REFUSED)
def test_a_parameter_that_is_not_there_yet_is_refused(
    http: httpx2.Client, upstream: Upstream, members: Json, param: str, code: str
) -> None:
    assert refused(http, **members) == (400, param, code)
    assert upstream.requests == []
