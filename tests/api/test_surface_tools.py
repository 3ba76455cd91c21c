"""Every tool, form of tool_choice, value of include and field of the response does what the ledger says."""

import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.api.asking import response
from tests.api.test_surface import ask, data_dir, refused, server
from tests.ledger import covers, ids_of, rows
from tests.scripted import Answer, Upstream

__all__ = ["data_dir", "server"]

Json = dict[str, Any]

# ---- tools ------------------------------------------------------------------------------------------


PLACE = {"type": "approximate", "city": "Oslo", "country": "NO", "region": "Oslo", "timezone": "Europe/Oslo"}
SEARCHING = {"search_context_size": "low", "user_location": PLACE}
# Tools that are not set up, with every member that they may have.
FULL: list[Json] = [
    {"type": "web_search", "filters": {"allowed_domains": ["example.com"]}, **SEARCHING},
    {"type": "web_search_preview", "search_content_types": ["text", "image"], **SEARCHING},
    {
        "type": "image_generation",
        "action": "edit",
        "background": "opaque",
        "complexity": "low",
        "frame_count": 2,
        "frame_duration_ms": 40,
        "input_fidelity": "high",
        "input_image_mask": {"file_id": "file-1", "image_url": "https://example.com/a.png"},
        "model": "gpt-image-1",
        "moderation": "low",
        "output_compression": 50,
        "output_format": "webp",
        "partial_images": 2,
        "quality": "high",
        "size": "1024x1024",
        "svg": {"model": "m", "reasoning": {"effort": "low"}},
    },
]


def members_of(value: Any, place: str) -> Iterator[str]:
    """The paths of all members, as the ledger names them."""
    if isinstance(value, list):
        for each in value:
            yield from members_of(each, place)
    elif value is not None:
        yield place
    if isinstance(value, dict):
        tagged = f"{place}.{value['type']}" if "type" in value else place
        yield tagged
        for name in value.keys() - {"type"}:
            yield from members_of(value[name], f"{tagged}.{name}")


@covers(*ids_of("tool.image_generation"))
def test_every_member_of_a_tool_that_is_not_set_up_is_taken_and_shown(
    http: httpx2.Client, upstream: Upstream
) -> None:
    upstream.default = Answer("Hello")
    shown = set()
    for tool in FULL:
        (echo,) = ask(http, tools=[tool])["tools"]
        shown |= set(members_of(echo, "tool"))
    kinds = {tool["type"] for tool in FULL}
    known = {row for kind in kinds for row in ids_of(f"tool.{kind}", does="acts")}
    assert known - shown == {"tool.web_search.external_web_access"}, "which is never shown"


@covers("tool.apply_patch.allowed_callers", "tool.shell.allowed_callers", "tool.mcp.allowed_callers")
@pytest.mark.parametrize(
    "tool",
    [
        {"type": "apply_patch"},
        {"type": "shell"},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "mcp", "server_label": "s", "server_url": "https://example.com"},
    ],
    ids=lambda tool: str(tool["type"]),
)
def test_a_tool_that_programs_alone_may_call_is_refused(http: httpx2.Client, tool: Json) -> None:
    wrong = (400, "tools[0].allowed_callers", "unsupported_value")
    assert refused(http, tools=[tool | {"allowed_callers": ["programmatic"]}]) == wrong


# ---- include ----------------------------------------------------------------------------------------


@covers(*ids_of("include"))
@pytest.mark.parametrize("row_id", ids_of("include"))
def test_a_value_of_include_is_accepted_wherever_it_may_stand(
    http: httpx2.Client, upstream: Upstream, row_id: str
) -> None:
    value = row_id.removeprefix("include.")
    upstream.script(Answer("Hello"))
    response = ask(http, include=[value])
    url = f"/v1/responses/{response['id']}"
    for query in ({"include[]": value}, {"include": value}):
        assert http.get(url, params=query).json() == response
        assert http.get(f"{url}/input_items", params=query).status_code == 200


@covers("include.message.output_text.logprobs", "include.reasoning.encrypted_content")
def test_logprobs_and_sealed_reasoning_are_there_only_when_included(
    http: httpx2.Client, upstream: Upstream
) -> None:
    upstream.default = Answer("Hello", reasoning="Hm.")
    thought, message = ask(http)["output"]
    assert "encrypted_content" not in thought
    assert message["content"][0]["logprobs"] == []
    include = ["message.output_text.logprobs", "reasoning.encrypted_content"]
    thought, message = ask(http, include=include, store=False)["output"]
    assert [logprob["token"] for logprob in message["content"][0]["logprobs"]] == ["Hello"]
    assert "Hm." not in thought["encrypted_content"]
    sealed = {"type": "reasoning", "summary": [], "encrypted_content": thought["encrypted_content"]}
    ask(http, input=[{"role": "user", "content": "hi"}, sealed])


# ---- the Response object ----------------------------------------------------------------------------

# What is made anew for each response is looked at apart.
MADE = ("id", "created_at", "completed_at", "output")
ONCE = ("tool_usage", "input_transformations")
"""Fields that are there only when there is something to tell: a tool has counted (`test_web_search.py`), or
reasoning was withheld (`test_anthropic.py`)."""
MINIMAL: Json = {name: value for name, value in response().items() if name not in MADE}


@covers(*ids_of("field"))
def test_a_response_shows_these_fields_and_no_others(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.default = Answer("Hello")
    told = ask(http)
    made = {name: told.pop(name) for name in MADE}
    assert told == MINIMAL
    assert re.fullmatch("resp_[0-9a-f]{50}", made["id"])
    assert isinstance(made["created_at"], int)
    assert made["completed_at"] >= made["created_at"]
    assert [item["type"] for item in made["output"]] == ["message"]
    said = {row.id for row in rows().values() if row.id.startswith("field.") and row.does != "refuses"}
    assert {f"field.{name}" for name in (*MINIMAL, *made, *asked_for(http), *ONCE)} == said


def asked_for(http: httpx2.Client) -> Json:
    """Fields that are there only when the request asks for them."""
    conversation = http.post("/v1/conversations", json={}).json()
    prompt = http.post("/v1/prompts", json={"name": "greeting", "instructions": "Greet."}).json()
    shown = {
        "conversation": {"id": conversation["id"]},
        "prompt": {"id": prompt["id"], "version": None, "variables": None},
        "prompt_cache_options": {"mode": "explicit", "ttl": "30m", "comparison_response_id": "resp_1"},
        "prompt_cache_diagnostics": {"type": "comparison_response_not_found"},
        "access_programs": {"cyber": "standard"},
        "image": {"context_compression": "disabled"},
    }
    asked: Json = {
        **shown,
        "prompt": {"id": prompt["id"]},
        "prompt_cache_options": {"mode": "explicit", "comparison_response_id": "resp_1"},
        "image": {"context_compression": "auto"},
    }
    del asked["prompt_cache_diagnostics"]
    response = ask(http, **asked)
    assert {name: response[name] for name in shown} == shown
    assert response.keys() - MINIMAL.keys() - shown.keys() == {"id", "created_at", "completed_at", "output"}
    return shown
