"""Tools: what clients offer, and how the Response object shows it."""

import json
from typing import Any, get_args

import msgspec
import pytest
from openai.types import responses as sdk
from openai.types.responses.response import ToolChoice as SdkToolChoice
from tests.sdk_types import check, models

from antiphon.protocol.tool_choice import ToolChoice
from antiphon.protocol.tools import BaseTool, Tool
from antiphon.protocol.wire import encode

POLICY = {
    "type": "allowlist",
    "allowed_domains": ["example.com"],
    "domain_secrets": [{"domain": "example.com", "name": "KEY", "value": "hush"}],
}
EVERYWHERE = ["direct", "programmatic"]
HERE = {"type": "approximate", "city": "Oslo"}
NO_PLACE = {"type": "approximate", "country": None, "city": None, "region": None, "timezone": None}
US = {**NO_PLACE, "country": "US"}
GONE = object()
"""What a member that was sent and is not echoed becomes."""
SEARCHED = {"search_content_types": ["text"], "return_token_budget": "default"}


# Tools as sent, with the members that the echo adds or changes.
ECHOES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "function", "name": "f"}, {"description": None, "parameters": None, "strict": False}),
    (
        {
            "type": "function",
            "name": "f",
            "description": "d",
            "parameters": {"type": "object"},
            "strict": False,
            "output_schema": {"type": "object"},
            "defer_loading": True,
            "async": True,
            "allowed_callers": EVERYWHERE,
        },
        {},
    ),
    (
        {"type": "custom", "name": "c"},
        {"description": None, "format": {"type": "text"}},
    ),
    (
        {
            "type": "custom",
            "name": "c",
            "description": "d",
            "format": {"type": "grammar", "syntax": "lark", "definition": 'start: "a"'},
            "async": False,
            "defer_loading": False,
            "allowed_callers": EVERYWHERE,
        },
        {},
    ),
    (
        {
            "type": "namespace",
            "name": "n",
            "description": "d",
            "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}],
        },
        {
            "tools": [
                {"type": "function", "name": "f", "description": None, "parameters": None, "strict": False},
                {"type": "custom", "name": "c", "description": None, "format": {"type": "text"}},
            ]
        },
    ),
    ({"type": "apply_patch"}, {}),
    ({"type": "apply_patch", "allowed_callers": ["direct"]}, {}),
    ({"type": "local_shell"}, {}),
    ({"type": "computer"}, {}),
    ({"type": "programmatic_tool_calling"}, {}),
    (
        {
            "type": "computer_use_preview",
            "display_width": 1024,
            "display_height": 768,
            "environment": "browser",
        },
        {},
    ),
    (
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {
            "filters": None,
            "max_num_results": 20,
            "ranking_options": {"ranker": "auto", "score_threshold": 0.0},
        },
    ),
    (
        {
            "type": "file_search",
            "vector_store_ids": ["vs_1"],
            "max_num_results": None,
            "ranking_options": {"hybrid_search": {"embedding_weight": 1.0, "text_weight": 0.5}},
            "filters": {
                "type": "or",
                "filters": [
                    {"type": "eq", "key": "a", "value": "x"},
                    {
                        "type": "and",
                        "filters": [
                            {"type": "gte", "key": "b", "value": 5},
                            {"type": "nin", "key": "c", "value": ["x", 1]},
                            {"type": "ne", "key": "d", "value": True},
                        ],
                    },
                ],
            },
        },
        {
            "max_num_results": 20,
            "ranking_options": {
                "ranker": "auto",
                "score_threshold": 0.0,
                "hybrid_search": {"embedding_weight": 1.0, "text_weight": 0.5},
            },
        },
    ),
    (
        {"type": "web_search"},
        {"search_context_size": "medium", "user_location": US, **SEARCHED},
    ),
    (
        {"type": "web_search", "filters": None, "user_location": None, "search_context_size": "high"},
        {"filters": GONE, "user_location": US, **SEARCHED},
    ),
    (
        {
            "type": "web_search_2025_08_26",
            "filters": {"allowed_domains": ["example.com"]},
            "search_context_size": "low",
            "user_location": HERE,
            "external_web_access": False,
        },
        {"user_location": {**NO_PLACE, **HERE}, "external_web_access": GONE, **SEARCHED},
    ),
    ({"type": "web_search_preview"}, {"search_context_size": "medium", "user_location": US}),
    (
        {
            "type": "web_search_preview_2025_03_11",
            "search_content_types": ["text", "image"],
            "search_context_size": "low",
            "user_location": HERE,
        },
        {"user_location": {**NO_PLACE, **HERE}},
    ),
    ({"type": "tool_search"}, {"description": None, "parameters": None}),
    (
        {"type": "tool_search", "execution": "client", "description": "d", "parameters": {"type": "object"}},
        {},
    ),
    ({"type": "code_interpreter", "container": "cntr_1", "allowed_callers": EVERYWHERE}, {}),
    ({"type": "code_interpreter", "container": {"type": "auto"}}, {}),
    (
        {
            "type": "code_interpreter",
            "container": {
                "type": "auto",
                "file_ids": ["file-1"],
                "memory_limit": "4g",
                "network_policy": {"type": "disabled"},
            },
        },
        {},
    ),
    ({"type": "shell"}, {}),
    ({"type": "shell", "environment": {"type": "container_reference", "container_id": "cntr_1"}}, {}),
    (
        {
            "type": "shell",
            "environment": {
                "type": "local",
                "skills": [{"name": "n", "description": "d", "path": "/p"}],
            },
            "allowed_callers": EVERYWHERE,
        },
        {},
    ),
    (
        {
            "type": "shell",
            "environment": {
                "type": "container_auto",
                "file_ids": ["file-1"],
                "memory_limit": "1g",
                "skills": [
                    {"type": "skill_reference", "skill_id": "skill_1", "version": "2"},
                    {
                        "type": "inline",
                        "name": "n",
                        "description": "d",
                        "source": {"type": "base64", "media_type": "application/zip", "data": "aGk="},
                    },
                ],
            },
        },
        {},
    ),
    (
        {"type": "mcp", "server_label": "s", "server_url": "https://example.com"},
        {"server_description": None, "headers": None, "allowed_tools": None, "require_approval": "always"},
    ),
    (
        {
            "type": "mcp",
            "server_label": "s",
            "server_url": "https://example.com/",
            "server_description": "d",
            "headers": {"X-Key": "hush"},
            "authorization": "hush",
            "allowed_tools": ["a"],
            "require_approval": "never",
            "defer_loading": True,
            "allowed_callers": EVERYWHERE,
        },
        {"headers": {"X-Key": "<redacted>"}, "authorization": "<redacted>"},
    ),
    (
        {
            "type": "mcp",
            "server_label": "s",
            "connector_id": "connector_gmail",
            "allowed_tools": {"read_only": True, "tool_names": ["a"]},
            "require_approval": {"always": {"read_only": False}, "never": {"tool_names": ["a"]}},
        },
        {"server_description": None, "headers": None},
    ),
    (
        {"type": "image_generation"},
        {
            "background": "auto",
            "moderation": "auto",
            "n": 1,
            "output_compression": 100,
            "output_format": "png",
            "quality": "auto",
            "size": "auto",
        },
    ),
    (
        {
            "type": "image_generation",
            "action": "edit",
            "background": "opaque",
            "complexity": "low",
            "frame_count": 3,
            "frame_duration_ms": 100,
            "input_fidelity": "high",
            "input_image_mask": {"file_id": "file-1"},
            "model": "gpt-image-2",
            "moderation": "low",
            "n": 1,
            "output_compression": 50,
            "output_format": "webp",
            "partial_images": 2,
            "quality": "low",
            "size": "1024x1024",
            "svg": {"model": "m", "reasoning": {"effort": "low"}},
        },
        {},
    ),
]

# Echoed by the real API, unknown to the SDK.
DIVERGENCES = {"$.n", "$.search_content_types", "$.return_token_budget"}


def read(value: dict[str, Any]) -> BaseTool:
    return msgspec.json.decode(json.dumps(value).encode(), type=Tool)


def echo(value: dict[str, Any]) -> dict[str, Any]:
    return json.loads(encode(read(value).echo()))


def name_of(value: Any) -> str:
    return value["type"] if isinstance(value, dict) and "type" in value else ""


@pytest.mark.parametrize(("sent", "added"), ECHOES, ids=name_of)
def test_a_tool_is_echoed_with_what_it_leaves_out(sent: dict[str, Any], added: dict[str, Any]) -> None:
    assert echo(sent) == {name: value for name, value in {**sent, **added}.items() if value is not GONE}


@pytest.mark.parametrize("sent", [sent for sent, _ in ECHOES], ids=name_of)
def test_an_echo_is_exactly_what_the_sdk_expects(sent: dict[str, Any]) -> None:
    faults = check(echo(sent), sdk.Tool)
    assert [fault for fault in faults if fault.split(":")[0] not in DIVERGENCES] == []


@pytest.mark.parametrize("sent", [sent for sent, _ in ECHOES], ids=name_of)
def test_an_echo_of_an_echo_is_the_same(sent: dict[str, Any]) -> None:
    once = echo(sent)
    assert echo(once) == once


@pytest.mark.parametrize("sent", [sent for sent, _ in ECHOES], ids=name_of)
def test_a_tool_reads_back_as_itself(sent: dict[str, Any]) -> None:
    tool = read(sent)
    assert read(json.loads(encode(tool))) == tool


@pytest.mark.parametrize("sent", [sent for sent, _ in ECHOES], ids=name_of)
def test_an_echo_leaves_the_tool_itself_as_it_was(sent: dict[str, Any]) -> None:
    tool = read(sent)
    tool.echo()
    assert tool == read(sent)


def test_every_tool_of_the_sdk_has_an_example_and_no_other() -> None:
    ours = {kind.__struct_config__.tag for kind in get_args(Tool)}
    theirs = {tag for model in models(sdk.Tool) for tag in get_args(model.model_fields["type"].annotation)}
    assert ours == theirs == {sent["type"] for sent, _ in ECHOES}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.com", "https://example.com"),
        ("https://example.com:8443/", "https://example.com:8443/"),
        ("https://example.com/mcp/key", "https://example.com/<redacted>"),
        ("https://example.com?key=hush", "https://example.com/<redacted>"),
        ("https://me:hush@example.com/", "https://example.com/<redacted>"),
        ("example.com/hush", "<redacted>"),
        ("https://[hush", "<redacted>"),
    ],
)
def test_the_url_of_an_mcp_server_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert echo({"type": "mcp", "server_label": "s", "server_url": url})["server_url"] == shown


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "code_interpreter", "container": {"type": "auto", "network_policy": POLICY}},
        {"type": "shell", "environment": {"type": "container_auto", "network_policy": POLICY}},
    ],
    ids=name_of,
)
def test_secrets_of_a_network_policy_are_not_shown(tool: dict[str, Any]) -> None:
    assert "hush" not in json.dumps(echo(tool))
    assert check(echo(tool), sdk.Tool) == []


@pytest.mark.parametrize(
    "tool",
    [
        {},
        {"name": "f"},
        {"type": "bogus"},
        {"type": "function"},
        {"type": "function", "name": ""},
        {"type": "function", "name": "with space"},
        {"type": "function", "name": "n" * 129},
        {"type": "function", "name": "f", "bogus": 1},
        {"type": "function", "function": {"name": "f"}},
        {"type": "namespace", "name": "n", "description": "d", "tools": []},
        {"type": "file_search", "vector_store_ids": ["vs_1"], "max_num_results": 51},
        {"type": "mcp", "server_label": "s", "tunnel_id": "tunnel_x"},
    ],
)
def test_a_tool_that_breaks_a_rule_is_refused(tool: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(tool)


CHOICES: list[Any] = [
    "none",
    "auto",
    "required",
    {"type": "function", "name": "f"},
    {"type": "custom", "name": "c"},
    {"type": "mcp", "server_label": "s"},
    {"type": "mcp", "server_label": "s", "name": "n"},
    {
        "type": "allowed_tools",
        "mode": "auto",
        "tools": [{"type": "function", "name": "f"}, {"type": "mcp", "server_label": "s"}],
    },
    {"type": "apply_patch"},
    {"type": "shell"},
    {"type": "file_search"},
    {"type": "web_search_preview"},
    {"type": "web_search_preview_2025_03_11"},
    {"type": "computer"},
    {"type": "computer_use"},
    {"type": "computer_use_preview"},
    {"type": "image_generation"},
    {"type": "code_interpreter"},
]

# Accepted by the real API, unknown to the SDK's Response.
CHOICES_UNKNOWN_TO_THE_SDK: list[Any] = [
    {"type": "web_search"},
    {"type": "web_search_2025_08_26"},
    {"type": "programmatic_tool_calling"},
]


@pytest.mark.parametrize("choice", CHOICES + CHOICES_UNKNOWN_TO_THE_SDK, ids=str)
def test_a_tool_choice_is_echoed_as_it_was_sent(choice: Any) -> None:
    decoded: Any = msgspec.json.decode(json.dumps(choice).encode(), type=ToolChoice)
    assert json.loads(encode(decoded)) == choice


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_a_tool_choice_is_exactly_what_the_sdk_expects(choice: Any) -> None:
    assert check(choice, SdkToolChoice) == []


@pytest.mark.parametrize("choice", ["bogus", 7, {}, {"type": "bogus"}, {"type": "function"}], ids=str)
def test_a_tool_choice_that_is_none_is_refused(choice: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(choice).encode(), type=ToolChoice)
