"""Parsing: what is refused, in which words and in which order. behaviours.md section 6."""

import copy
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from tests.protocol.test_items import EXAMPLES

from antiphon.protocol.content import InputText
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.frames import CreateFrame
from antiphon.protocol.item import item_type
from antiphon.protocol.items import InputMessage, decode_item
from antiphon.protocol.parse import Parsed, parse, parse_create, parse_items
from antiphon.protocol.request import CreateResponse
from antiphon.protocol.tools import FunctionTool
from antiphon.protocol.validate import validate
from antiphon.protocol.wire import Metadata, Wire

ABSENT = object()
ITEM_TYPES = (
    "'additional_tools', 'agent_message', 'apply_patch_call', 'apply_patch_call_output', "
    "'code_interpreter_call', 'compaction', 'compaction_trigger', 'computer_call', "
    "'computer_call_output', 'custom_tool_call', 'custom_tool_call_output', 'file_search_call', "
    "'function_call', 'function_call_output', 'image_generation_call', 'item_reference', "
    "'local_shell_call', 'local_shell_call_output', 'mcp_approval_request', 'mcp_approval_response', "
    "'mcp_call', 'mcp_list_tools', 'message', 'multi_agent_call', 'multi_agent_call_output', 'program', "
    "'program_output', 'reasoning', 'shell_call', 'shell_call_output', 'tool_search_call', "
    "'tool_search_output', and 'web_search_call'"
)
INCLUDES = (
    "'file_search_call.results', 'web_search_call.results', 'web_search_call.action.sources', "
    "'message.input_image.image_url', 'computer_call_output.output.image_url', "
    "'code_interpreter_call.outputs', 'reasoning.encrypted_content', and 'message.output_text.logprobs'"
)
PARTS = (
    "'input_text', 'input_image', 'input_audio', 'output_text', 'refusal', 'input_file', "
    "'computer_screenshot', 'summary_text', and 'encrypted_content'"
)
ROLES = "'assistant', 'system', 'developer', and 'user'"
TIERS = "'auto', 'default', 'fast', 'flex', and 'priority'"
EFFORTS = "'none', 'minimal', 'low', 'medium', 'high', 'xhigh', and 'max'"
MOVED = (
    "Unsupported parameter: 'messages'. In the Responses API, this parameter has moved to 'input'. "
    "Try again with the new parameter. See the API documentation for more information: "
    "https://platform.openai.com/docs/api-reference/responses/create."
)
NOTHING = "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation' must be provided."
TWO_PASTS = (
    "Mutually exclusive parameters: ''. Ensure you are only providing one of: 'pre..._id' or 'conversation'."
)


def body(**members: Any) -> bytes:
    """A request that would do, but for these members."""
    full = {"model": "m", "input": "hi", **members}
    return json.dumps({name: value for name, value in full.items() if value is not ABSENT}).encode()


def message(role: str, *parts: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {"role": role, "content": list(parts), **members}


def refusal(work: Callable[[], object]) -> tuple[int, str, str | None, str | None, str]:
    with pytest.raises(InvalidRequest) as caught:
        work()
    fault = caught.value
    return fault.status, fault.type, fault.param, fault.code, fault.message


def supported(value: str, values: str) -> str:
    return f"Invalid value: '{value}'. Supported values are: {values}."


def wrong_type(path: str, expected: str, got: str) -> str:
    return f"Invalid type for '{path}': expected {expected}, but got {got} instead."


def missing(path: str) -> str:
    return f"Missing required parameter: '{path}'."


def moved(name: str, place: str) -> str:
    return MOVED.replace("'messages'", f"'{name}'").replace("'input'", f"'{place}'")


def unknown(path: str, hint: str = "") -> str:
    return f"Unknown parameter: '{path}'.{hint}"


TYPE, VALUE, MISSING, UNKNOWN = (
    "invalid_type",
    "invalid_value",
    "missing_required_parameter",
    "unknown_parameter",
)

# Members of the request; then param, code and message of its refusal.
TOP_LEVEL: list[tuple[dict[str, Any], str | None, str | None, str]] = [
    ({"n": 2}, "n", UNKNOWN, unknown("n")),
    ({"n": None}, "n", UNKNOWN, unknown("n")),
    (
        {"max_completion_tokens": 16},
        None,
        "unsupported_parameter",
        moved("max_completion_tokens", "max_output_tokens"),
    ),
    ({"max_tokens": 16, "n": 2}, None, "unsupported_parameter", moved("max_tokens", "max_output_tokens")),
    ({"response_format": {}}, None, "unsupported_parameter", moved("response_format", "text.format")),
    (
        {"reasoning_effort": "low"},
        None,
        "unsupported_parameter",
        moved("reasoning_effort", "reasoning.effort"),
    ),
    ({"verbosity": "low"}, None, "unsupported_parameter", moved("verbosity", "text.verbosity")),
    ({"functions": []}, None, "unsupported_parameter", moved("functions", "tools")),
    ({"function_call": "auto"}, None, "unsupported_parameter", moved("function_call", "tool_choice")),
    ({"logprobs": True}, None, "unsupported_parameter", moved("logprobs", "include")),
    ({"web_search_options": {}}, None, "unsupported_parameter", moved("web_search_options", "tools")),
    ({"stop": ["x"]}, "stop", UNKNOWN, unknown("stop", " Did you mean 'store'?")),
    ({"sto": 1}, "sto", UNKNOWN, unknown("sto", " Did you mean 'store'?")),
    ({"st": 1}, "st", UNKNOWN, unknown("st")),
    ({"stre": 1}, "stre", UNKNOWN, unknown("stre", " Did you mean 'store' or 'stream'?")),
    ({"modell": 1}, "modell", UNKNOWN, unknown("modell")),
    ({"messages": []}, None, "unsupported_parameter", MOVED),
    ({"messages": [], "input": ABSENT}, None, "unsupported_parameter", MOVED),
    ({"model": ABSENT}, "model", MISSING, missing("model")),
    ({"model": None}, "model", TYPE, wrong_type("model", "a string", "an object")),
    ({"model": 7}, "model", TYPE, wrong_type("model", "a string", "an integer")),
    ({"input": ABSENT}, "input", MISSING, missing("input")),
    ({"input": []}, None, MISSING, NOTHING),
    ({"input": ""}, None, MISSING, NOTHING),
    ({"input": None}, "input", TYPE, wrong_type("input", "a string", "an object")),
    (
        {"input": {}},
        "input",
        TYPE,
        wrong_type("input", "one of a string or array of input items", "an object"),
    ),
    (
        {"input": 7},
        "input",
        TYPE,
        wrong_type("input", "one of a string or array of input items", "an integer"),
    ),
    ({"moderation": "x"}, "moderation", TYPE, wrong_type("moderation", "an object", "a string")),
    ({"prompt": "x"}, "prompt", TYPE, wrong_type("prompt", "an object", "a string")),
    ({"include": ["bogus"]}, "include[0]", VALUE, supported("bogus", INCLUDES)),
    (
        {"include": "x"},
        "include",
        TYPE,
        wrong_type(
            "include",
            "an array of one of 'fil...lts', 'web...lts', 'web...ces', 'mes...url', 'com...url', "
            "'cod...uts', 'rea...ent', or 'mes...obs'",
            "a string",
        ),
    ),
    ({"text": "x"}, "text", TYPE, wrong_type("text", "an object", "a string")),
    ({"text": {"zzz": 1}}, "text.zzz", UNKNOWN, unknown("text.zzz")),
    (
        {"text": {"verbosity": "bogus"}},
        "text.verbosity",
        VALUE,
        supported("bogus", "'low', 'medium', and 'high'"),
    ),
    (
        {"text": {"format": {"type": "bogus"}}},
        "text.format.type",
        VALUE,
        supported("bogus", "'json_object', 'text', and 'json_schema'"),
    ),
    (
        {"text": {"format": {"type": "json_schema", "schema": {}}}},
        "text.format.name",
        MISSING,
        missing("text.format.name"),
    ),
    ({"temperature": "x"}, "temperature", TYPE, wrong_type("temperature", "a decimal", "a string")),
    ({"top_p": True}, "top_p", TYPE, wrong_type("top_p", "a decimal", "a boolean")),
    (
        {"presence_penalty": "x"},
        "presence_penalty",
        TYPE,
        wrong_type("presence_penalty", "a decimal", "a string"),
    ),
    (
        {"parallel_tool_calls": "x"},
        "parallel_tool_calls",
        TYPE,
        wrong_type("parallel_tool_calls", "a boolean", "a string"),
    ),
    ({"stream": "yes"}, "stream", TYPE, wrong_type("stream", "a boolean", "a string")),
    ({"stream_options": "x"}, "stream_options", TYPE, wrong_type("stream_options", "an object", "a string")),
    (
        {"stream_options": {"include_usage": True}},
        "stream_options.include_usage",
        UNKNOWN,
        unknown("stream_options.include_usage"),
    ),
    (
        {"max_output_tokens": "x"},
        "max_output_tokens",
        TYPE,
        wrong_type("max_output_tokens", "an integer", "a string"),
    ),
    (
        {"max_output_tokens": 16.5},
        "max_output_tokens",
        TYPE,
        wrong_type("max_output_tokens", "an integer", "a decimal number"),
    ),
    ({"reasoning": "low"}, "reasoning", TYPE, wrong_type("reasoning", "an object", "a string")),
    ({"reasoning": {"effort": "x"}}, "reasoning.effort", VALUE, supported("x", EFFORTS)),
    (
        {"reasoning": {"effort": {}}},
        "reasoning.effort",
        TYPE,
        wrong_type(
            "reasoning.effort",
            "one of one of 'none', 'minimal', 'low', 'medium', 'high', 'xhigh', or 'max' or integer",
            "an object",
        ),
    ),
    (
        {"reasoning": {"summary": "x"}},
        "reasoning.summary",
        VALUE,
        supported("x", "'concise', 'detailed', and 'auto'"),
    ),
    ({"reasoning": {"bogus": 1}}, "reasoning.bogus", UNKNOWN, unknown("reasoning.bogus")),
    ({"user": {}}, "user", TYPE, wrong_type("user", "a string", "an object")),
    (
        {"prompt_cache_retention": "x"},
        "prompt_cache_retention",
        VALUE,
        supported("x", "'in_memory' and '24h'"),
    ),
    ({"truncation": "bogus"}, "truncation", VALUE, supported("bogus", "'auto' and 'disabled'")),
    (
        {"truncation": {}},
        "truncation",
        TYPE,
        wrong_type("truncation", "one of 'auto' or 'disabled'", "an object"),
    ),
    ({"service_tier": "bogus"}, "service_tier", VALUE, supported("bogus", TIERS)),
    (
        {"service_tier": {}},
        "service_tier",
        TYPE,
        wrong_type("service_tier", "one of 'auto', 'default', 'fast', 'flex', or 'priority'", "an object"),
    ),
    ({"top_logprobs": "x"}, "top_logprobs", TYPE, wrong_type("top_logprobs", "an integer", "a string")),
    (
        {"context_management": {}},
        "context_management",
        TYPE,
        wrong_type("context_management", "an array of objects", "an object"),
    ),
    (
        {"context_management": ["compaction"]},
        "context_management[0]",
        TYPE,
        wrong_type("context_management[0]", "an object", "a string"),
    ),
    (
        {"context_management": [{"compact_threshold": 1000}]},
        "context_management[0].type",
        MISSING,
        missing("context_management[0].type"),
    ),
    (
        {"previous_response_id": "resp_1", "conversation": "conv_1"},
        None,
        "mutually_exclusive_parameters",
        TWO_PASTS,
    ),
]

LIMITS: list[tuple[dict[str, Any], str, str, str]] = [
    (
        {"max_output_tokens": 15},
        "max_output_tokens",
        "integer_below_min_value",
        "Invalid 'max_output_tokens': integer below minimum value. "
        "Expected a value >= 16, but got 15 instead.",
    ),
    (
        {"max_tool_calls": 0},
        "max_tool_calls",
        "integer_below_min_value",
        "Invalid 'max_tool_calls': integer below minimum value. Expected a value >= 1, but got 0 instead.",
    ),
    (
        {"top_logprobs": 21},
        "top_logprobs",
        "integer_above_max_value",
        "Invalid 'top_logprobs': integer above maximum value. Expected a value <= 20, but got 21 instead.",
    ),
    (
        {"temperature": -1},
        "temperature",
        "decimal_below_min_value",
        "Invalid 'temperature': decimal below minimum value. Expected a value >= 0, but got -1 instead.",
    ),
    (
        {"temperature": 2.5},
        "temperature",
        "decimal_above_max_value",
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 2.5 instead.",
    ),
    (
        {"metadata": {f"k{n}": "v" for n in range(17)}},
        "metadata",
        "object_above_max_properties",
        "Invalid 'metadata': too many properties. Expected an object with at most 16 properties, "
        "but got an object with 17 properties instead.",
    ),
    (
        {"metadata": {"k": "v" * 513}},
        "metadata.k",
        "string_above_max_length",
        "Invalid 'metadata.k': string too long. Expected a string with maximum length 512, "
        "but got a string with length 513 instead.",
    ),
    (
        {"metadata": {"k" * 65: "v"}},
        "metadata." + "k" * 65,
        "property_name_above_max_length",
        f"Invalid property name in 'metadata': '{'k' * 65}' is too long. "
        "Expected a string with maximum length 64, but got a string with length 65 instead.",
    ),
    (
        {"tools": [{"type": "file_search", "vector_store_ids": []}]},
        "tools[0].vector_store_ids",
        "empty_array",
        "Invalid 'tools[0].vector_store_ids': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead.",
    ),
    (
        {"context_management": []},
        "context_management",
        "empty_array",
        "Invalid 'context_management': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead.",
    ),
    (
        {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["f"] * 51}}]},
        "tools[0].container.file_ids",
        "array_above_max_length",
        "Invalid 'tools[0].container.file_ids': array too long. "
        "Expected an array with maximum length 50, but got an array with length 51 instead.",
    ),
    (
        {"input": [{"type": "function_call", "name": "f", "arguments": "", "call_id": ""}]},
        "input[0].call_id",
        "empty_string",
        "Invalid 'input[0].call_id': empty string. Expected a string with minimum length 1, "
        "but got an empty string instead.",
    ),
    (
        {"tools": [{"type": "function", "name": "no.dots"}]},
        "tools[0].name",
        VALUE,
        "Invalid 'tools[0].name': string does not match pattern. "
        "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.",
    ),
]

TOOLS: list[tuple[dict[str, Any], str, str, str]] = [
    ({"tools": "x"}, "tools", TYPE, wrong_type("tools", "an array of tools", "a string")),
    ({"tools": [{}]}, "tools[0].type", MISSING, missing("tools[0].type")),
    ({"tools": [{"type": "function"}]}, "tools[0].name", MISSING, missing("tools[0].name")),
    (
        {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]},
        "tools[0].name",
        MISSING,
        missing("tools[0].name"),
    ),
    (
        {"tool_choice": 7},
        "tool_choice",
        TYPE,
        wrong_type("tool_choice", "one of an object or 'none', 'auto', or 'required'", "an integer"),
    ),
    (
        {"tool_choice": "bogus"},
        "tool_choice",
        VALUE,
        supported("bogus", "'none', 'auto', and 'required'"),
    ),
    ({"tool_choice": {"type": "function"}}, "tool_choice.name", MISSING, missing("tool_choice.name")),
    (
        {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        "tool_choice.name",
        MISSING,
        missing("tool_choice.name"),
    ),
    ({"metadata": "x"}, "metadata", TYPE, wrong_type("metadata", "a metadata object", "a string")),
]

TEXT = {"type": "input_text", "text": "x"}

# An item; then param, code and message of its refusal.
ITEMS: list[tuple[Any, str, str, str]] = [
    (7, "input[0]", TYPE, wrong_type("input[0]", "an input item", "an integer")),
    (None, "input[0]", TYPE, wrong_type("input[0]", "an input item", "null")),
    ({"type": "bogus_item"}, "input[0]", VALUE, supported("bogus_item", ITEM_TYPES)),
    ({"type": 7, "role": "user", "content": "x"}, "input[0]", VALUE, supported("", ITEM_TYPES)),
    ({}, "input[0]", VALUE, supported("", ROLES)),
    ({"role": "bogus", "content": "x"}, "input[0]", VALUE, supported("bogus", ROLES)),
    ({"role": "user"}, "input[0].content", MISSING, missing("input[0].content")),
    (
        {"role": "user", "content": None},
        "input[0].content",
        TYPE,
        wrong_type("input[0].content", "one of an array of objects or string", "null"),
    ),
    (message("user", TEXT, bogus=1), "input[0].bogus", UNKNOWN, unknown("input[0].bogus")),
    (message("user", TEXT, phase="commentary"), "input[0].phase", UNKNOWN, unknown("input[0].phase")),
    (
        message("assistant", phase="bogus"),
        "input[0].phase",
        VALUE,
        supported("bogus", "'commentary' and 'final_answer'"),
    ),
    (
        message("user", TEXT, {"type": "bogus", "text": "x"}),
        "input[0].content[1].type",
        VALUE,
        supported("bogus", PARTS),
    ),
    (
        message("user", {"type": "output_text", "text": "x"}),
        "input[0].content[0]",
        VALUE,
        supported(
            "output_text", "'input_text', 'input_image', 'input_file', 'scoped_content', and 'input_audio'"
        ),
    ),
    (
        message("assistant", TEXT),
        "input[0].content[0]",
        VALUE,
        supported("input_text", "'output_text' and 'refusal'"),
    ),
    (
        message("user", {"type": "input_text"}),
        "input[0].content[0].text",
        MISSING,
        missing("input[0].content[0].text"),
    ),
    (
        {"type": "reasoning", "summary": [], "id": "msg_1"},
        "input[0].id",
        "invalid_id_prefix",
        "Invalid 'input[0].id': 'msg_1'. Expected an ID that begins with 'rs'.",
    ),
    (
        {"type": "reasoning", "summary": [], "id": "rs_a:b"},
        "input[0].id",
        VALUE,
        "Invalid 'input[0].id': 'rs_a:b'. Expected an ID that contains letters, numbers, underscores, "
        "or dashes, but this value contained additional characters.",
    ),
]


@pytest.mark.parametrize(("members", "param", "code", "text"), [*TOP_LEVEL, *TOOLS, *LIMITS])
def test_a_wrong_member_is_refused_in_the_words_of_the_api(
    members: dict[str, Any], param: str | None, code: str | None, text: str
) -> None:
    told = refusal(lambda: parse_create(body(**members)))
    assert told == (400, "invalid_request_error", param, code, text)


@pytest.mark.parametrize(("item", "param", "code", "text"), ITEMS)
def test_a_wrong_item_is_refused_in_the_words_of_the_api(item: Any, param: str, code: str, text: str) -> None:
    told = refusal(lambda: parse_create(body(input=[item])))
    assert told == (400, "invalid_request_error", param, code, text)


def test_an_id_that_comes_twice_is_refused() -> None:
    twice = [message("user", TEXT, id="msg_1"), message("user", TEXT, id="msg_1")]
    assert refusal(lambda: parse_create(body(input=twice))) == (
        400,
        "invalid_request_error",
        "input",
        None,
        "Duplicate item found with id msg_1. Remove duplicate items from your input and try again.",
    )


@pytest.mark.parametrize("broken", [b"", b"{", b'{"model": "m", "input": "\xff"}', b"[" * 100_000])
def test_what_is_no_json_is_refused(broken: bytes) -> None:
    status, kind, param, code, text = refusal(lambda: parse_create(broken))
    assert (status, kind, param, code) == (400, "invalid_request_error", None, None)
    assert text.startswith("We could not parse the JSON body of your request.")


def test_broken_text_deep_in_an_item_is_no_json_either() -> None:
    broken = b'{"model": "m", "input": [{"role": "user", "content": "\xff"}]}'
    assert refusal(lambda: parse_create(broken))[4].startswith("We could not parse the JSON body")


@pytest.mark.parametrize(("sent", "got"), [(b"[]", "an array"), (b"null", "null"), (b'"x"', "a string")])
def test_a_body_must_be_an_object(sent: bytes, got: str) -> None:
    assert refusal(lambda: parse_create(sent)) == (
        400,
        "invalid_request_error",
        None,
        None,
        f"Invalid body: expected a JSON object, but got {got} instead.",
    )


# ---- order ------------------------------------------------------------------------------------------

# The fields in the order in which they are checked, each with a wrong value.
FIELDS: dict[str, Any] = {
    "input": 7,
    "previous_response_id": 7,
    "moderation": "x",
    "prompt": "x",
    "include": ["bogus"],
    "tools": "x",
    "tool_choice": 7,
    "metadata": "x",
    "text": "x",
    "temperature": "x",
    "top_p": "x",
    "presence_penalty": "x",
    "frequency_penalty": "x",
    "parallel_tool_calls": "x",
    "stream": "x",
    "stream_options": "x",
    "background": "x",
    "max_output_tokens": "x",
    "max_tool_calls": "x",
    "reasoning": "x",
    "user": 7,
    "safety_identifier": 7,
    "prompt_cache_options": "x",
    "prompt_cache_key": 7,
    "prompt_cache_retention": "x",
    "truncation": "x",
    "instructions": 7,
    "store": "x",
    "service_tier": "x",
    "top_logprobs": "x",
    "context_management": "x",
}


@pytest.mark.parametrize("index", range(len(FIELDS)))
def test_of_many_wrong_fields_the_first_in_the_order_of_checks_is_reported(index: int) -> None:
    wrong = dict(reversed(list(FIELDS.items())[index:]))
    param = refusal(lambda: parse_create(body(**wrong)))[2]
    assert param is not None
    assert param.partition("[")[0] == list(FIELDS)[index]


ORDER: list[tuple[dict[str, Any], str | None]] = [
    ({"model": ABSENT, "input": ABSENT, "zzz": 1}, "model"),
    ({"model": ABSENT, "messages": []}, "model"),
    ({"input": ABSENT, "zzz": 1}, "input"),
    ({"input": ABSENT, "truncation": "bogus"}, "input"),
    ({"zzz": 1, "yyy": 1, "input": 7}, "zzz"),
    ({"model": 7, "zzz": 1}, "zzz"),
    ({"model": 7, "input": 7}, "model"),
    ({"input": [message("user", TEXT, bogus=1)], "zzz": 1}, "zzz"),
    ({"input": [{}], "truncation": "bogus"}, "input[0]"),
    ({"input": [message("user", TEXT), {"role": "x"}, 7], "truncation": "bogus"}, "input[1]"),
    ({"input": [{}], "previous_response_id": "resp_1", "conversation": "conv_1"}, "input[0]"),
    ({"input": [], "truncation": "bogus"}, "truncation"),
    ({"input": [], "zzz": 1}, "zzz"),
    ({"input": [{"role": "user", "content": 7, "status": 7, "zzz": 1}]}, "input[0].zzz"),
    ({"input": [{"role": "user", "status": 7, "zzz": 1}]}, "input[0].content"),
]


@pytest.mark.parametrize(("members", "param"), ORDER)
def test_of_two_faults_the_first_alone_is_reported(members: dict[str, Any], param: str) -> None:
    assert refusal(lambda: parse_create(body(**members)))[2] == param


def test_two_pasts_are_reported_before_an_empty_input() -> None:
    both = {"input": [], "previous_response_id": "resp_1", "conversation": "conv_1"}
    assert refusal(lambda: parse_create(body(**both)))[3] == "mutually_exclusive_parameters"


# ---- what is taken ----------------------------------------------------------------------------------


def test_a_text_is_one_message_of_the_user() -> None:
    sent = body(input="hi")
    items = [InputMessage(role="user", content=(InputText(text="hi"),))]
    assert parse_create(sent) == Parsed(CreateResponse(model="m"), items, len(sent))


def test_a_body_that_was_parsed_is_let_go_while_its_response_is_made() -> None:
    sent = body(input=[{"role": "user", "content": "hi"}])
    known = sys.getrefcount(sent)
    parsed = parse_create(sent)
    assert parsed.items
    assert sys.getrefcount(sent) == known


@pytest.mark.parametrize("empty", [ABSENT, [], ""])
@pytest.mark.parametrize(
    "state", [{"previous_response_id": "resp_1"}, {"conversation": {"id": "conv_1"}}, {"prompt": {"id": "p"}}]
)
def test_an_empty_input_will_do_beside_a_state(empty: object, state: dict[str, Any]) -> None:
    assert parse_create(body(input=empty, **state)).items == []


def test_an_empty_input_will_do_for_a_warm_up() -> None:
    assert parse_create(body(input=[], generate=False), kind=CreateFrame).items == []
    assert refusal(lambda: parse_create(body(input=ABSENT, generate=False), kind=CreateFrame))[2] == "input"


@pytest.mark.parametrize(
    "name", [name for name in FIELDS if name != "input"] + ["conversation", "access_programs", "image"]
)
def test_null_is_as_good_as_left_out(name: str) -> None:
    assert parse_create(body(**{name: None})).request == parse_create(body()).request


@pytest.mark.parametrize(
    "members",
    [
        {"service_tier": "scale"},
        {"service_tier": "ultrafast"},
        {"prompt_cache_retention": "in-memory"},
        {"reasoning": {"generate_summary": "auto"}},
        {"temperature": 1},
        {"client_metadata": {"anything": [1]}},
        {"input": [{"type": "configuration_update", "reasoning": {"effort": "low"}}]},
        {"input": [message("user", TEXT, id="msg_edb96626-96d9-4a1c-8e0e-000000000000")]},
        {"input": [{"type": "item_reference", "id": "rs_1"}, {"type": "item_reference", "id": "ws_2"}]},
        {"input": [{"id": "fc_1"}]},
        {
            "input": [
                {
                    "type": "local_shell_call",
                    "id": "lsh_1",
                    "call_id": "call_1",
                    "status": "completed",
                    "action": {"type": "exec", "command": ["ls"], "env": {}},
                },
                {"type": "local_shell_call_output", "id": "lsh_1", "output": ""},
            ]
        },
    ],
)
def test_what_clients_send_is_taken(members: dict[str, Any]) -> None:
    parse_create(body(**members))


def test_members_that_codex_adds_with_every_release_break_nothing() -> None:
    item = message("user", TEXT)
    plain = {"client_metadata": {"turn_id": "1"}, "input": [item]}
    added = plain | {"newest": {"a": 1}, "input": [item | {"internal_chat_message_metadata_passthrough": {}}]}
    assert parse_create(body(**added)).items == parse_create(body(**plain)).items


def test_what_codex_asks_for_beyond_what_there_is_breaks_nothing() -> None:
    include = ["output.encrypted_content", "reasoning.encrypted_content", {}]
    parsed = parse_create(body(client_metadata={}, include=include))
    assert parsed.request.include == ["reasoning.encrypted_content"]
    assert refusal(lambda: parse_create(body(include=include)))[2] == "include[0]"


def test_what_python_names_otherwise_may_stand_in_items_and_in_the_body_at_once() -> None:
    said = {"type": "output_text", "text": "{}", "annotations": [], "parsed": {}}
    message = {"type": "message", "role": "assistant", "content": [said]}
    tool = {"type": "function", "name": "f", "async_": None}
    group = {"type": "namespace", "name": "g", "description": "", "tools": [tool]}
    brought = {"type": "additional_tools", "role": "developer", "tools": [group]}
    parsed = parse_create(body(input=[message, brought], tools=[tool]))
    assert [item_type(item) for item in parsed.items] == ["message", "additional_tools"]
    assert parsed.request.tools == [FunctionTool(name="f")]


# ---- lenient ----------------------------------------------------------------------------------------


def test_lenient_parsing_drops_what_it_does_not_know() -> None:
    tool = {"type": "function", "name": "f", "parameters": {"zzz": "a schema is the client's own"}}
    plain = {
        "input": [message("user", TEXT), message("assistant", {"type": "output_text", "text": "x"})],
        "tools": [tool],
    }
    newer = {
        "input": [
            message("user", {**TEXT, "zzz": 1}, zzz={}),
            message("assistant", {"type": "output_text", "text": "x", "zzz": None}),
        ],
        "tools": [{**tool, "zzz": 1}],
        "zzz": [1],
    }
    dropped, known = parse_create(body(**newer), lenient=True), parse_create(body(**plain))
    assert (dropped.items, dropped.request.tools) == (known.items, known.request.tools)


def test_lenient_parsing_looks_only_at_the_item_that_is_newer() -> None:
    items = [message("user", TEXT), message("user", TEXT, zzz=1)]
    assert len(parse_create(body(input=items), lenient=True).items) == 2


@pytest.mark.parametrize(
    ("members", "param"),
    [
        ({"zzz": 1, "truncation": "bogus"}, "truncation"),
        ({"zzz": 1, "input": ABSENT}, "input"),
        ({"messages": [], "input": ABSENT}, None),
        ({"input": [message("user", TEXT, zzz=1), {"type": "bogus"}]}, "input[1]"),
    ],
)
def test_lenient_parsing_refuses_all_else(members: dict[str, Any], param: str | None) -> None:
    assert refusal(lambda: parse_create(body(**members), lenient=True))[2] == param


# ---- other bodies -----------------------------------------------------------------------------------


class Update(Wire):
    metadata: Metadata | None


def test_any_body_is_parsed_by_its_type() -> None:
    assert parse(b'{"metadata": {"a": "b"}}', Update) == Update(metadata={"a": "b"})
    assert parse(b'{"metadata": null, "zzz": 1}', Update, lenient=True) == Update(metadata=None)


def test_the_faults_of_any_body_are_reported() -> None:
    assert refusal(lambda: parse(b"{}", Update))[2:] == ("metadata", MISSING, missing("metadata"))
    assert refusal(lambda: parse(b'{"metadata": 1}', Update))[2:4] == ("metadata", TYPE)


def test_items_are_reported_by_the_path_where_they_stand() -> None:
    raws = [msgspec.Raw(b'{"role": "user", "content": "x"}'), msgspec.Raw(b"7")]
    told = refusal(lambda: parse_items(raws, "items"))
    assert told[2:] == ("items[1]", TYPE, wrong_type("items[1]", "an input item", "an integer"))


FUNCTION = b'{"type": "function", "name": "f"}'
DOUBLED = {
    "member": (b'"input": "x", "stream": "x", "stream": true', {"stream": True}),
    "nested": (b'"input": "x", "metadata": {"a": 1, "a": "b"}', {"metadata": {"a": "b"}}),
    "tools": (b'"input": "x", "tools": [7], "tools": [%b]' % FUNCTION, {"tools": [FunctionTool(name="f")]}),
    "of a tool": (
        b'"input": "x", "tools": [{"type": "function", "name": 1, "name": "f"}]',
        {"tools": [FunctionTool(name="f")]},
    ),
    "input": (b'"input": [7], "input": [{"role": 7, "role": "user", "content": "x"}]', {}),
}


@pytest.mark.parametrize(("members", "read"), DOUBLED.values(), ids=DOUBLED)
def test_of_members_sent_twice_the_last_one_counts(members: bytes, read: dict[str, Any]) -> None:
    """As in any JSON, whether the first one fits or not."""
    parsed = parse_create(b'{"model": "m", %b}' % members)
    assert {name: getattr(parsed.request, name) for name in read} == read
    assert len(parsed.items) == 1


def test_of_members_sent_twice_the_last_one_must_fit() -> None:
    twice = b'{"model": "m", "input": "x", "stream": true, "stream": "x"}'
    assert refusal(lambda: parse_create(twice))[2:4] == ("stream", TYPE)


def test_a_huge_unknown_key_is_neither_compared_nor_repeated_in_full() -> None:
    assert len(refusal(lambda: parse_create(body(**{"z" * 1_000_000: 1})))[4]) < 1000


# ---- msgspec and the examiner agree -----------------------------------------------------------------

REQUESTS: list[dict[str, Any]] = [
    {
        "model": "m",
        "input": [{"type": name, **example} for name, pair in EXAMPLES.items() for example in pair],
    },
    {
        "model": "m",
        "input": "hi",
        "prompt": {"id": "p", "variables": {"a": "b", "c": TEXT}},
        "conversation": {"id": "conv_1"},
        "moderation": {"model": "m", "policy": {"input": {"mode": "score"}}},
        "include": ["message.output_text.logprobs"],
        "tool_choice": {
            "type": "allowed_tools",
            "mode": "auto",
            "tools": [{"type": "function", "name": "f"}],
        },
        "metadata": {"a": "b"},
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}}, "verbosity": "low"},
        "temperature": 0.5,
        "top_logprobs": 3,
        "stream": True,
        "reasoning": {"effort": "low", "summary": "auto"},
        "safety_identifier": "s",
        "context_management": [{"type": "compaction", "compact_threshold": 2000}],
        "tools": [
            {"type": "function", "name": "f", "parameters": {"type": "object"}, "async": True},
            {
                "type": "file_search",
                "vector_store_ids": ["vs_1"],
                "filters": {
                    "type": "and",
                    "filters": [
                        {"type": "eq", "key": "k", "value": 1},
                        {"type": "or", "filters": [{"type": "in", "key": "k", "value": ["a", 2]}]},
                    ],
                },
                "ranking_options": {"score_threshold": 0.5},
            },
            {"type": "web_search", "filters": {"allowed_domains": ["a.b"]}, "user_location": None},
            {
                "type": "mcp",
                "server_label": "l",
                "server_url": "https://x",
                "allowed_tools": ["a"],
                "require_approval": {"never": {"tool_names": ["a"]}},
            },
            {
                "type": "custom",
                "name": "c",
                "format": {"type": "grammar", "syntax": "lark", "definition": ""},
            },
            {
                "type": "namespace",
                "name": "n",
                "description": "d",
                "tools": [{"type": "custom", "name": "c"}],
            },
            {
                "type": "shell",
                "environment": {
                    "type": "container_auto",
                    "network_policy": {"type": "allowlist", "allowed_domains": []},
                },
            },
            {"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "4g"}},
        ],
    },
]
WORDS = ["", "x", "x" * 600, "auto", "user", "assistant", "input_text", "output_text", "function", "message"]
NAMES = ["type", "zzz", "id", "role", "k" * 65, "status", "name"]
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.sampled_from([-1, 0, 1, 2, 15, 1.0, 0.5, -0.5, 2.5, 1e300])
    | st.sampled_from(WORDS)
)
JUNK = LEAVES | st.lists(LEAVES, max_size=2) | st.dictionaries(st.sampled_from(NAMES), LEAVES, max_size=2)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each container in a value with the keys of what it holds."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, Any]:
    request = copy.deepcopy(draw(st.sampled_from(REQUESTS)))
    for _ in range(draw(st.integers(1, 2))):
        spots = list(places(request))
        assume(spots)
        holder, key = draw(st.sampled_from(spots))
        match draw(st.sampled_from(["replace", "remove", "add", "repeat"])):
            case "replace":
                holder[key] = draw(JUNK)
            case "remove":
                del holder[key]
            case "add" if isinstance(holder, dict):
                holder[draw(st.sampled_from(NAMES))] = draw(JUNK)
            case "repeat" if isinstance(holder, list):
                holder.extend([holder[key]] * draw(st.sampled_from([1, 60])))
    return request


def taken_by_msgspec(request: dict[str, Any]) -> bool:
    try:
        decoded = msgspec.json.decode(json.dumps(request), type=CreateResponse)
        if not isinstance(decoded.input, str):
            for raw in decoded.input:
                decode_item(raw)
    except msgspec.ValidationError:
        return False
    return True


def fault_found(request: dict[str, Any], drop_unknown: bool = False) -> InvalidRequest | None:
    try:
        validate(request, CreateResponse, drop_unknown=drop_unknown)
    except InvalidRequest as fault:
        return fault
    return None


@pytest.mark.parametrize("request_", REQUESTS)
def test_the_requests_that_are_damaged_below_are_good(request_: dict[str, Any]) -> None:
    assert taken_by_msgspec(request_)
    assert fault_found(request_) is None


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_the_examiner_finds_a_fault_where_msgspec_refuses_and_only_there(request_: dict[str, Any]) -> None:
    assert (fault_found(request_) is None) == taken_by_msgspec(request_)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(damaged())
def test_dropping_what_is_unknown_leaves_what_fits_or_another_fault(request_: dict[str, Any]) -> None:
    fault = fault_found(request_, drop_unknown=True)
    assert taken_by_msgspec(request_) if fault is None else fault.code != UNKNOWN
