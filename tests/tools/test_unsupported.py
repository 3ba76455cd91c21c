"""Hosted tools that are not set up: who always sends them is answered; only requiring them is refused."""

from typing import Any

import httpx2
import pytest
from openai import OpenAI
from tests.api.asking import CLOCK, Json, refused
from tests.ledger import covers
from tests.scripted import Answer, Called, Upstream
from tests.tools.using import ask, calls, offered, read

TOOLS: dict[str, Json] = {
    "web_search": {"type": "web_search"},
    "web_search_2025_08_26": {"type": "web_search_2025_08_26"},
    "web_search_preview": {"type": "web_search_preview"},
    "web_search_preview_2025_03_11": {"type": "web_search_preview_2025_03_11"},
    "code_interpreter": {"type": "code_interpreter", "container": {"type": "auto"}},
    "shell": {"type": "shell", "environment": {"type": "container_auto"}},
    "image_generation": {"type": "image_generation"},
}
FUNCTIONS = ("web_search", "python", "shell", "image_generation")


@covers(
    "tool.code_interpreter",
    "tool.image_generation",
)
@pytest.mark.parametrize("name", TOOLS)
def test_it_is_not_offered_and_the_client_reads_so(
    http: httpx2.Client, upstream: Upstream, name: str
) -> None:
    upstream.script(Answer("Without it, then."))
    body = {"model": "m", "input": "hi", "tools": [TOOLS[name], CLOCK]}

    answer = http.post("/v1/responses", json=body)

    assert answer.json()["status"] == "completed"
    assert answer.headers["x-antiphon-warnings"] == f'{name};why="not set up on this server"'
    assert list(offered(upstream)) == ["clock"]
    assert answer.json()["tools"][0]["type"] == name


def test_all_of_them_are_sent_in_vain(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hi"))

    ask(client, *TOOLS.values())

    assert "tools" not in upstream.last.body


@covers(
    "tool_choice.web_search",
    "tool_choice.web_search_2025_08_26",
    "tool_choice.web_search_preview",
    "tool_choice.web_search_preview_2025_03_11",
    "tool_choice.image_generation",
)
@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("name", TOOLS)
def test_requiring_it_is_refused_in_words_that_help(
    client: OpenAI, upstream: Upstream, name: str, alone: bool
) -> None:
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": name}]}
    for choice in ({"type": name}, allowed, *(["required"] if alone else [])):
        with refused(400, "unsupported_value", "tool_choice") as refusal:
            ask(client, TOOLS[name], *([] if alone else [CLOCK]), tool_choice=choice)
        assert refusal.message.startswith(f"Tool choice '{name}' cannot be required: ")
        assert "this server" in refusal.message
    assert upstream.requests == []


@covers("tool_choice.allowed_tools")
@pytest.mark.parametrize("mode", ["auto", "required"])
def test_one_that_is_merely_allowed_is_left_out(client: OpenAI, upstream: Upstream, mode: str) -> None:
    upstream.script(calls("clock", "{}"))
    tools = [{"type": "code_interpreter"}, {"type": "function", "name": "clock"}]

    ask(
        client,
        TOOLS["code_interpreter"],
        CLOCK,
        tool_choice={"type": "allowed_tools", "mode": mode, "tools": tools},
    )

    assert list(offered(upstream)) == ["clock"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_model_that_calls_it_all_the_same_reads_that_it_cannot(
    client: OpenAI, upstream: Upstream, name: str
) -> None:
    upstream.script(Answer(calls=[Called(name, "{}")]), Answer("Without it, then."))

    answer = ask(client, *TOOLS.values())

    assert [item["type"] for item in answer["output"]] == ["message"]
    assert "was not made" in read(upstream)[-1]["content"]


@covers("item.input.web_search_call", "item.input.image_generation_call")
@pytest.mark.parametrize(
    "call",
    [
        {
            "type": "web_search_call",
            "id": "ws_1",
            "status": "completed",
            "action": {"type": "search", "query": "b"},
        },
        {"type": "image_generation_call", "id": "ig_1", "status": "failed", "result": None},
        {
            "type": "code_interpreter_call",
            "id": "ci_1",
            "status": "completed",
            "code": "1",
            "container_id": "c",
        },
    ],
    ids=lambda call: call["type"],
)
def test_calls_of_the_past_are_read(client: OpenAI, upstream: Upstream, call: Any) -> None:
    upstream.script(Answer("ok"))

    ask(client, *TOOLS.values(), given=[call, {"role": "user", "content": "And?"}])

    assert [message["role"] for message in read(upstream)] == ["assistant", "tool", "user"]
