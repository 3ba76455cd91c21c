"""Every error of the ledger: status, `param` and `code` are those of the real API."""

from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import JSON_TYPE, refused
from tests.conftest import Running, checked_client, config_for
from tests.ledger import case, covers
from tests.scripted import Answer, Gate, Upstream, refusal

from antiphon.config import Server, hash_key
from antiphon.config.model_settings import ModelSettings

Json = dict[str, Any]
LOOK = {"type": "function", "name": "look"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "a"}
HI = {"role": "user", "content": "hi"}
ABSENT: Any = object()
BATCH: Any = {"input_file_id": "file-1", "endpoint": "/v1/responses", "completion_window": "24h"}


def patch(path: str, diff: str) -> Json:
    operation = {"type": "create_file", "path": path, "diff": diff}
    return {"type": "apply_patch_call", "call_id": "c", "status": "completed", "operation": operation}


def text(**members: Any) -> Json:
    return {"role": "user", "content": [{"type": "input_text", "text": "hi", **members}]}


def error(answer: httpx2.Response) -> tuple[int, str | None, str | None]:
    told = answer.json()["error"]
    return answer.status_code, told["param"], told["code"]


MISSING, TYPE, VALUE = "missing_required_parameter", "invalid_type", "invalid_value"
UNKNOWN = "unknown_parameter"
# The members of the request, the param and the code of its error.
WRONG = [
    case("error.unknown_parameter", {"n": 1}, "n", UNKNOWN),
    case("error.unknown_parameter.did_you_mean", {"stre": True}, "stre", UNKNOWN),
    case("error.unknown_parameter.in_an_item", {"input": [{**HI, "bogus": 1}]}, "input[0].bogus", UNKNOWN),
    case(
        "error.unknown_parameter.phase_of_a_user",
        {"input": [{**HI, "phase": "commentary"}]},
        "input[0].phase",
        UNKNOWN,
    ),
    case("error.unknown_parameter.in_text", {"text": {"zzz": 1}}, "text.zzz", UNKNOWN),
    case(
        "error.unknown_parameter.in_stream_options",
        {"stream": True, "stream_options": {"include_usage": True}},
        "stream_options.include_usage",
        UNKNOWN,
    ),
    case(
        "error.unsupported_parameter.messages",
        {"input": ABSENT, "messages": [HI]},
        None,
        "unsupported_parameter",
    ),
    case("error.unsupported_parameter.moved", {"response_format": {}}, None, "unsupported_parameter"),
    case(
        "error.string_out_of_range.path_of_a_patch",
        {"input": [patch("", "")]},
        "input[0].operation.path",
        "empty_string",
    ),
    case(
        "error.string_out_of_range.diff_of_a_patch",
        {"input": [patch("a", "x" * 10_485_761)]},
        "input[0].operation.diff",
        "string_above_max_length",
    ),
    case("error.missing_required_parameter.model", {"model": ABSENT}, "model", MISSING),
    case("error.missing_required_parameter.input", {"input": ABSENT}, "input", MISSING),
    case("error.missing_required_parameter.nothing_to_answer", {"input": []}, None, MISSING),
    case(
        "error.missing_required_parameter.content",
        {"input": [{"role": "user"}]},
        "input[0].content",
        MISSING,
    ),
    case(
        "error.missing_required_parameter.text_of_a_part",
        {"input": [{"role": "user", "content": [{"type": "input_text"}]}]},
        "input[0].content[0].text",
        MISSING,
    ),
    case("error.missing_required_parameter.type_of_a_tool", {"tools": [{}]}, "tools[0].type", MISSING),
    case(
        "error.missing_required_parameter.name_of_a_tool",
        {"tools": [{"type": "function", "function": {"name": "look"}}]},
        "tools[0].name",
        MISSING,
    ),
    case(
        "error.missing_required_parameter.name_of_a_schema",
        {"text": {"format": {"type": "json_schema", "schema": {}}}},
        "text.format.name",
        MISSING,
    ),
    case(
        "error.missing_required_parameter.name_of_a_tool_choice",
        {"tools": [LOOK], "tool_choice": {"type": "function"}},
        "tool_choice.name",
        MISSING,
    ),
    case("error.invalid_type.model", {"model": 7}, "model", TYPE),
    case("error.invalid_type.model", {"model": None}, "model", TYPE),
    case("error.invalid_type.input", {"input": {}}, "input", TYPE),
    case("error.invalid_type.input", {"input": None}, "input", TYPE),
    case("error.invalid_type.item", {"input": [7]}, "input[0]", TYPE),
    case("error.invalid_type.item", {"input": [None]}, "input[0]", TYPE),
    case("error.invalid_type.tools", {"tools": "x"}, "tools", TYPE),
    case("error.invalid_type.tool_choice", {"tool_choice": 7}, "tool_choice", TYPE),
    case("error.invalid_type.enum", {"truncation": {}}, "truncation", TYPE),
    case("error.invalid_type.number", {"temperature": "x"}, "temperature", TYPE),
    case("error.invalid_type.integer", {"max_output_tokens": "x"}, "max_output_tokens", TYPE),
    case("error.invalid_type.boolean", {"stream": "x"}, "stream", TYPE),
    case("error.invalid_type.metadata", {"metadata": "x"}, "metadata", TYPE),
    case("error.invalid_type.context_management", {"context_management": "x"}, "context_management", TYPE),
    case("error.invalid_value.type_of_an_item", {"input": [{"type": "bogus"}]}, "input[0]", VALUE),
    case("error.invalid_value.role", {"input": [{**HI, "role": "bogus"}]}, "input[0]", VALUE),
    case(
        "error.invalid_value.phase",
        {"input": [{"role": "assistant", "content": "hi", "phase": "bogus"}]},
        "input[0].phase",
        VALUE,
    ),
    case(
        "error.invalid_value.type_of_a_part",
        {"input": [text(type="bogus")]},
        "input[0].content[0].type",
        VALUE,
    ),
    case(
        "error.invalid_value.part_of_another_role",
        {"input": [text(type="output_text")]},
        "input[0].content[0]",
        VALUE,
    ),
    case(
        "error.invalid_value.type_of_a_format",
        {"text": {"format": {"type": "bogus"}}},
        "text.format.type",
        VALUE,
    ),
    case("error.invalid_value.tool_choice", {"tool_choice": "bogus"}, "tool_choice", VALUE),
    case("error.invalid_value.enum", {"truncation": "bogus"}, "truncation", VALUE),
    case("error.invalid_value.include", {"include": ["bogus"]}, "include[0]", VALUE),
    case("error.invalid_value.service_tier", {"service_tier": "bogus"}, "service_tier", VALUE),
    case(
        "error.invalid_value.reasoning_effort",
        {"reasoning": {"effort": "bogus"}},
        "reasoning.effort",
        VALUE,
    ),
    case(
        "error.integer_below_min_value.max_output_tokens",
        {"max_output_tokens": 15},
        "max_output_tokens",
        "integer_below_min_value",
    ),
    case(
        "error.integer_below_min_value.max_tool_calls",
        {"max_tool_calls": 0},
        "max_tool_calls",
        "integer_below_min_value",
    ),
    case(
        "error.decimal_below_min_value.temperature",
        {"temperature": -1},
        "temperature",
        "decimal_below_min_value",
    ),
    case(
        "error.object_above_max_properties.metadata",
        {"metadata": {str(n): "" for n in range(17)}},
        "metadata",
        "object_above_max_properties",
    ),
    case(
        "error.string_above_max_length.metadata",
        {"metadata": {"k": "x" * 513}},
        "metadata.k",
        "string_above_max_length",
    ),
    case(
        "error.property_name_above_max_length.metadata",
        {"metadata": {"k" * 65: ""}},
        f"metadata.{'k' * 65}",
        "property_name_above_max_length",
    ),
    case(
        "error.invalid_id_prefix",
        {"input": [{"type": "reasoning", "id": "x", "summary": []}]},
        "input[0].id",
        "invalid_id_prefix",
    ),
    case("error.duplicate_item", {"input": [{**HI, "type": "message", "id": "msg_1"}] * 2}, "input", None),
    case("error.tool_output_missing", {"input": [HI, CALL]}, "input", None),
    case("error.tool_call_missing", {"input": [HI, OUTPUT]}, "input", None),
    case(
        "error.forced_tool_absent",
        {"tools": [LOOK], "tool_choice": {"type": "function", "name": "listen"}},
        "tool_choice",
        None,
    ),
    case(
        "error.stream_options_without_stream",
        {"stream_options": {"include_obfuscation": False}},
        "stream_options",
        None,
    ),
    case(
        "error.previous_response_not_found",
        {"previous_response_id": "resp_x"},
        "previous_response_id",
        "previous_response_not_found",
    ),
    case(
        "error.mutually_exclusive_parameters",
        {"previous_response_id": "resp_x", "conversation": "conv_x"},
        None,
        "mutually_exclusive_parameters",
    ),
    case(
        "error.invalid_encrypted_content",
        {"input": [HI, {"type": "reasoning", "summary": [], "encrypted_content": "x"}]},
        "input",
        "invalid_encrypted_content",
    ),
]


@pytest.mark.parametrize(("members", "param", "code"), WRONG)
def test_a_request_that_cannot_be_is_refused_before_a_model_is_asked(
    http: httpx2.Client, upstream: Upstream, members: Json, param: str | None, code: str | None
) -> None:
    body = {"model": "m", "input": "hi", **members}
    sent = {name: value for name, value in body.items() if value is not ABSENT}
    answer = http.post("/v1/responses", json=sent)
    assert error(answer) == (400, param, code)
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert upstream.requests == []


@covers("error.conversation_not_found", "error.item_not_found", "error.response_not_found")
def test_what_is_not_there_is_not_found(http: httpx2.Client) -> None:
    lost = {"model": "m", "input": "hi"}
    assert error(http.post("/v1/responses", json={**lost, "conversation": "conv_x"})) == (404, None, None)
    reference = [{"type": "item_reference", "id": "msg_x"}]
    assert error(http.post("/v1/responses", json={**lost, "input": reference})) == (404, "input", None)
    assert error(http.get("/v1/responses/resp_x")) == (404, "id", None)
    assert error(http.delete("/v1/responses/resp_x")) == (404, "id", None)
    assert error(http.get("/v1/conversations/conv_x")) == (404, None, None)


@covers("error.integer_above_max_value.limit", "error.array_above_max_length.items")
def test_lists_have_a_limit(http: httpx2.Client) -> None:
    items = http.get("/v1/conversations/conv_x/items", params={"limit": "101"})
    assert error(items) == (400, "limit", "integer_above_max_value")
    many = http.post("/v1/conversations", json={"items": [HI] * 21})
    assert error(many) == (400, "items", "array_above_max_length")


@covers("error.invalid_json", "error.unknown_url", "error.method_not_allowed")
def test_what_is_no_request_is_refused(http: httpx2.Client) -> None:
    assert error(http.post("/v1/responses", content=b"{", headers=JSON_TYPE)) == (400, None, None)
    assert error(http.get("/v1/nothing")) == (404, None, "unknown_url")
    assert error(http.put("/v1/responses", json={})) == (405, None, "method_not_allowed")


@pytest.mark.parametrize(
    ("ask", "instead"),
    [
        (lambda c: c.batches.create(**BATCH), "completion_window"),
        (lambda c: c.batches.list(), "completion_window"),
        (lambda c: c.fine_tuning.jobs.list(), "[backends.NAME]"),
        (lambda c: c.post("/assistants", cast_to=object, body={"model": "m"}), "/v1/prompts"),
        (lambda c: c.post("/threads", cast_to=object), "/v1/conversations"),
        (lambda c: c.realtime.client_secrets.create(), "/v1/responses"),
        (lambda c: c.audio.speech.create(model="m", voice="alloy", input="Hi"), "input_audio"),
        (lambda c: c.audio.transcriptions.create(model="m", file=("a.wav", b"x")), "input_audio"),
        (lambda c: c.evals.list(), "/dashboard"),
        (lambda c: c.post("/videos", cast_to=object), "image_generation"),
        (lambda c: c.get("/organization/usage/completions", cast_to=object), "antiphon key"),
        (lambda c: c.get("/nothing", cast_to=object), "/v1/responses"),
    ],
)
@covers("error.unknown_url")
def test_what_is_not_served_names_what_is(client: OpenAI, ask: Any, instead: str) -> None:
    with refused(404, "unknown_url") as refusal:
        ask(client)
    assert instead in refusal.message


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/responses", "GET, HEAD, POST"),
        ("PATCH", "/v1/responses/resp_1", "DELETE, GET, HEAD"),
        ("GET", "/v1/responses/resp_1/cancel", "POST"),
        ("PUT", "/v1/conversations/conv_1/items", "GET, HEAD, POST"),
        ("POST", "/healthz", "GET, HEAD"),
    ],
)
def test_a_method_that_is_not_allowed_is_answered_with_those_that_are(
    http: httpx2.Client, method: str, path: str, allowed: str
) -> None:
    answer = http.request(method, path)

    assert error(answer) == (405, None, "method_not_allowed")
    assert answer.headers["allow"] == allowed


@covers("error.upgrade_required")
def test_a_socket_that_a_proxy_has_made_a_plain_request_is_asked_to_upgrade(http: httpx2.Client) -> None:
    """Codex goes on over HTTP at once when it hears 426, and tries again for seconds after anything else."""
    answer = http.get("/v1/responses")

    assert error(answer) == (426, None, "upgrade_required")
    assert answer.headers["upgrade"] == "websocket"
    assert "POST /v1/responses" in answer.json()["error"]["message"]


IDS = [
    ("conversation", "wa_10", "begins with 'conv'", "invalid_value"),
    ("conversation", "", "begins with 'conv'", "invalid_value"),
    ("conversation", "conv_1/2", "additional characters", "invalid_value"),
    ("conversation", {"id": "wa_10"}, "begins with 'conv'", "invalid_value"),
    ("previous_response_id", "gen-123", "begins with 'resp'", "invalid_id_prefix"),
    ("previous_response_id", "resp_ü", "additional characters", "invalid_value"),
]


@covers("error.invalid_id_prefix", "error.invalid_value.prefix_of_a_conversation")
@pytest.mark.parametrize(("member", "value", "words", "code"), IDS)
@pytest.mark.parametrize("path", ["/v1/responses", "/v1/responses/input_tokens", "/v1/responses/compact"])
def test_an_id_that_cannot_be_one_is_not_looked_up(
    http: httpx2.Client, path: str, member: str, value: Any, words: str, code: str
) -> None:
    answer = http.post(path, json={"model": "m", "input": "hi", member: value})

    assert error(answer) == (400, f"{member}.id" if isinstance(value, dict) else member, code)
    assert words in answer.json()["error"]["message"]


@covers("error.conversation_locked")
def test_a_conversation_takes_part_in_one_response_at_a_time(http: httpx2.Client, upstream: Upstream) -> None:
    gate = Gate()
    upstream.script(Answer("Hello", gate=gate))
    conversation = http.post("/v1/conversations", json={}).json()["id"]
    body = {"model": "m", "input": "hi", "conversation": conversation}
    with http.stream("POST", "/v1/responses", json={**body, "stream": True}) as first:
        gate.wait_reached()
        second = http.post("/v1/responses", json=body)
        assert error(second) == (400, "conversation", "conversation_locked")
        gate.open()
        first.read()


UPSTREAMS = [
    case(
        "error.context_length_exceeded",
        refusal(400, "Too long.", "context_length_exceeded"),
        (400, "input", "context_length_exceeded"),
    ),
    case(
        "error.rate_limit_exceeded",
        refusal(429, "Slow down.", "rate_limit_exceeded"),
        (429, None, "rate_limit_exceeded"),
    ),
    case(
        "error.insufficient_quota",
        refusal(429, "Pay.", "insufficient_quota"),
        (429, None, "insufficient_quota"),
    ),
    case("error.upstream_failed", Answer(status=500, error="down"), (502, None, None)),
]


@pytest.mark.parametrize(("answer", "told"), UPSTREAMS)
def test_what_the_upstream_cannot_do_is_reported(
    http: httpx2.Client, upstream: Upstream, answer: Answer, told: tuple[int, str | None, str | None]
) -> None:
    upstream.script(answer)
    assert error(http.post("/v1/responses", json={"model": "m", "input": "hi"})) == told


@covers(
    "error.invalid_api_key",
    "error.request_too_large",
    "error.model_not_found",
    "error.logprobs_not_supported",
    "error.parameter_not_supported_with_model",
)
def test_what_a_configuration_does_not_allow_is_refused(upstream: Upstream, tmp_path: Path) -> None:
    """A server with a key, a small limit and one model, on an upstream that reads little."""
    server = Server(keys={"one": hash_key("sk-one")}, max_body_bytes=1024, verify=True)
    config = config_for(upstream, tmp_path, server)
    held = {n: replace(b, models=["m"], default=False, dialect="gemini") for n, b in config.backends.items()}
    with (
        Running(replace(config, backends=held)) as running,
        httpx2.Client(base_url=running.url, headers={"authorization": "Bearer sk-one"}) as http,
    ):

        def told(**members: Any) -> tuple[int, str | None, str | None]:
            return error(http.post("/v1/responses", json={"model": "m", "input": "hi", **members}))

        stranger = http.get("/v1/models", headers={"authorization": "Bearer sk-two"})
        assert error(stranger) == (401, None, "invalid_api_key")
        assert told(input="x" * 2000) == (413, None, "request_too_large")
        assert told(model="n") == (400, "model", "model_not_found")
        include = ["message.output_text.logprobs"]
        assert told(include=include) == (400, "include", "unsupported_parameter")
        assert told(frequency_penalty=1) == (400, "frequency_penalty", None)
    assert upstream.requests == []


@covers("error.unsupported_effort")
def test_an_effort_that_a_model_lacks_is_refused_before_it_is_asked(
    upstream: Upstream, tmp_path: Path
) -> None:
    model = ModelSettings(efforts=["high", "low"], reasoning_effort="low")
    config = replace(config_for(upstream, tmp_path), models={"thinker": model})
    upstream.models = ["thinker"]
    upstream.default = Answer("Hello")
    with Running(config) as running, checked_client(running.url) as client:
        with refused(400, "unsupported_value", "reasoning.effort") as refusal:
            client.responses.create(model="thinker", input="hi", reasoning={"effort": "minimal"})
        told = httpx2.get(f"{running.url}/v1/models", params={"client_version": "0.171.0"}).json()
        for effort in (None, "high"):
            client.responses.create(model="thinker", input="hi", reasoning={"effort": effort})  # type: ignore[typeddict-item]

    assert refusal.message == (
        "Unsupported value: 'minimal' is not supported with the 'thinker' model. "
        "Supported values are: 'low' and 'high'."
    )
    assert [each.body["reasoning_effort"] for each in upstream.requests] == ["low", "high"]
    [entry] = [each for each in told["models"] if each["slug"] == "thinker"]
    assert [each["effort"] for each in entry["supported_reasoning_levels"]] == ["low", "high"]


# ---- errors of the real API that we don't tell -------------------------------------------------------


@covers("error.unsupported_effort")
def test_a_refusal_of_the_upstream_is_passed_on(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(refusal(400, "Not this one."))
    answer = http.post(
        "/v1/responses", json={"model": "m", "input": "hi", "reasoning": {"effort": "minimal"}}
    )
    assert error(answer) == (400, None, None)
    assert "Not this one." in answer.json()["error"]["message"]


@covers("error.reasoning_without_its_item")
def test_what_is_refused_elsewhere_for_reasons_that_we_do_not_have(
    http: httpx2.Client, upstream: Upstream
) -> None:
    upstream.default = Answer("Hello")
    for given in ([HI, {"type": "reasoning", "summary": []}], [HI, CALL, OUTPUT]):
        answer = http.post("/v1/responses", json={"model": "m", "input": given})
        assert answer.status_code == 200
