"""Every tool, form of tool_choice, value of include and field of the response does what the ledger says."""

import re
from typing import Any

import httpx2
import pytest
from tests.api.asking import response
from tests.api.test_surface import LOOK, ask, data_dir, refused, server
from tests.ledger import covers, ids_of, rows
from tests.protocol.test_tools import ECHOES
from tests.scripted import Answer, Upstream

__all__ = ["data_dir", "server"]

Json = dict[str, Any]

# ---- tools ------------------------------------------------------------------------------------------


def refused_tools() -> list[str]:
    return [row_id for row_id in ids_of("tool", does="refuses") if row_id.count(".") == 1]


@covers(*ids_of("tool", does="refuses"))
@pytest.mark.parametrize("row_id", refused_tools())
def test_a_tool_that_is_not_served_yet_is_refused(
    http: httpx2.Client, upstream: Upstream, row_id: str
) -> None:
    kind = row_id.removeprefix("tool.")
    tools = [sent for sent, _ in ECHOES if sent["type"] == kind]
    assert tools
    for tool in tools:
        assert refused(http, tools=[LOOK, tool]) == (400, "tools[1].type", "unsupported_value")
    assert upstream.requests == []


UNSERVED_CHOICES = {
    "mcp": {"server_label": "s", "name": "n"},
}


@covers(*ids_of("tool_choice", does="refuses"))
@pytest.mark.parametrize("row_id", ids_of("tool_choice", does="refuses"))
def test_a_choice_of_a_tool_that_is_not_there_is_refused(
    http: httpx2.Client, upstream: Upstream, row_id: str
) -> None:
    kind = row_id.removeprefix("tool_choice.")
    choice = {"type": kind, **UNSERVED_CHOICES.get(kind, {})}
    assert refused(http, tools=[LOOK], tool_choice=choice) == (400, "tool_choice", None)
    assert upstream.requests == []


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
    assert {f"field.{name}" for name in (*MINIMAL, *made, *asked_for(http))} == said


def asked_for(http: httpx2.Client) -> Json:
    """Fields that are there only when the request asks for them."""
    conversation = http.post("/v1/conversations", json={}).json()
    prompt = http.post("/v1/prompts", json={"name": "greeting", "instructions": "Greet."}).json()
    shown = {
        "conversation": {"id": conversation["id"]},
        "prompt": {"id": prompt["id"], "version": None, "variables": None},
        "prompt_cache_options": {"mode": "explicit", "ttl": "30m"},
        "access_programs": {"cyber": "standard"},
        "image": {"context_compression": "disabled"},
    }
    asked = {**shown, "prompt_cache_options": {"mode": "explicit"}, "image": {"context_compression": "auto"}}
    response = ask(http, **{**asked, "prompt": {"id": prompt["id"]}})
    assert {name: response[name] for name in shown} == shown
    assert response.keys() - MINIMAL.keys() - shown.keys() == {"id", "created_at", "completed_at", "output"}
    return shown
