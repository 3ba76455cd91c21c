"""What a model's server wants back as it came: it goes back verbatim, to the model that gave it, on every way
on which a conversation goes on; and nobody else sees it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Upstream
from websockets.sync.client import connect

from antiphon.config import BackendSettings

ADD: Any = {
    "type": "function",
    "name": "add",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
}
SIGNED = {"extra_content": {"google": {"thought_signature": "U0lHTkVE"}}}
SECRET = "U0lHTkVE"
SEALED = ["reasoning.encrypted_content"]


def chunk(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def streamed(*deltas: dict[str, Any], reason: str = "stop") -> Answer:
    return Answer(raw=[*map(chunk, deltas), chunk({}, reason), b"data: [DONE]\n\n"])


def whole(message: dict[str, Any], reason: str = "stop") -> Answer:
    body = {"choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason}]}
    return Answer(raw=[json.dumps(body).encode()], content_type="application/json")


def call(number: int = 0, **members: Any) -> dict[str, Any]:
    function = {"name": "add", "arguments": f'{{"a":{number}}}'}
    return {"index": number, "id": f"c{number}", "type": "function", "function": function, **members}


def output(call_id: str = "c0") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": "3"}


def said(upstream: Upstream) -> dict[str, Any]:
    """The message of the assistant that the upstream was sent last."""
    found: dict[str, Any] = next(m for m in upstream.last.body["messages"] if m["role"] == "assistant")
    return found


CALLED = [
    pytest.param(streamed({"tool_calls": [call(**SIGNED)]}, reason="tool_calls"), id="streamed"),
    pytest.param(whole({"tool_calls": [call(**SIGNED)]}, "tool_calls"), id="in one piece"),
    pytest.param(
        streamed({"tool_calls": [call()]}, {"tool_calls": [{"index": 0, **SIGNED}]}, reason="tool_calls"),
        id="behind the call",
    ),
]


# ---- ways on which a conversation goes on -----------------------------------------------------------


@pytest.mark.parametrize("answer", CALLED)
def test_the_signature_of_a_call_goes_back_with_it(
    answer: Answer, client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(answer, Answer("3"))
    first = client.responses.create(model="m", input="1+2?", tools=[ADD])
    assert SECRET not in first.to_json()
    client.responses.create(model="m", previous_response_id=first.id, input=[output()], tools=[ADD])
    assert said(upstream)["tool_calls"][0]["extra_content"] == SIGNED["extra_content"]


def test_it_goes_back_in_every_later_turn(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(CALLED[0].values[0], Answer("3"), Answer("yes"))
    first = client.responses.create(model="m", input="1+2?", tools=[ADD])
    second = client.responses.create(model="m", previous_response_id=first.id, input=[output()], tools=[ADD])
    client.responses.create(model="m", previous_response_id=second.id, input="Sure?", tools=[ADD])
    assert said(upstream)["tool_calls"][0]["extra_content"] == SIGNED["extra_content"]


def test_a_conversation_keeps_it(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(CALLED[0].values[0], Answer("3"))
    conversation = client.conversations.create().id
    client.responses.create(model="m", conversation=conversation, input="1+2?", tools=[ADD])
    client.responses.create(model="m", conversation=conversation, input=[output()], tools=[ADD])
    assert said(upstream)["tool_calls"][0]["extra_content"] == SIGNED["extra_content"]


def test_without_state_the_encrypted_content_carries_it(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(CALLED[0].values[0], Answer("3"))
    state: Any = {"model": "m", "tools": [ADD], "store": False, "include": SEALED}
    first = client.responses.create(input="1+2?", **state)
    assert SECRET not in first.to_json()
    replayed = [item.model_dump(exclude_none=True) for item in first.output]
    client.responses.create(input=[{"role": "user", "content": "1+2?"}, *replayed, output()], **state)
    assert said(upstream)["tool_calls"][0]["extra_content"] == SIGNED["extra_content"]


def test_a_background_response_keeps_it(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(CALLED[0].values[0], Answer("3"))
    first = client.responses.create(model="m", input="1+2?", tools=[ADD], background=True)
    while client.responses.retrieve(first.id).status != "completed":
        pass
    assert SECRET not in client.responses.retrieve(first.id).to_json()
    client.responses.create(model="m", previous_response_id=first.id, input=[output()], tools=[ADD])
    assert said(upstream)["tool_calls"][0]["extra_content"] == SIGNED["extra_content"]


def test_a_socket_remembers_it_without_a_store(server: Running, upstream: Upstream) -> None:
    upstream.script(CALLED[0].values[0], Answer("3"))
    with connect(server.url.replace("http", "ws") + "/v1/responses") as socket:

        def ask(**members: Any) -> dict[str, Any]:
            frame = {"type": "response.create", "model": "m", "tools": [ADD], "store": False, **members}
            socket.send(json.dumps(frame))
            while (event := json.loads(socket.recv(timeout=60)))["type"] != "response.completed":
                assert "encrypted_content" not in json.dumps(event)
            return dict(event["response"])

        first = ask(input="1+2?")
        ask(input=[output()], previous_response_id=first["id"])
    assert said(upstream)["tool_calls"][0]["extra_content"] == SIGNED["extra_content"]


def test_the_next_turn_of_the_same_response_has_it(client: OpenAI, upstream: Upstream) -> None:
    searched = {**call(**SIGNED), "function": {"name": "web_search", "arguments": '{"query":"x"}'}}
    upstream.script(streamed({"tool_calls": [searched]}, reason="tool_calls"), Answer("3"))
    client.responses.create(model="m", input="1+2?", tools=[{"type": "web_search"}])
    assert said(upstream)["tool_calls"][0]["extra_content"] == SIGNED["extra_content"]


# ---- forms ------------------------------------------------------------------------------------------

PIECES = [
    {"type": "reasoning.text", "text": "I should ", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.text", "text": "add.", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.text", "signature": "U0lHTkVE", "format": "anthropic-claude-v1", "index": 0},
    {"type": "reasoning.encrypted", "data": "RU5D", "id": "c0", "format": "google-gemini-v1", "index": 1},
]
DETAILS = [
    {
        "type": "reasoning.text",
        "text": "I should add.",
        "format": "anthropic-claude-v1",
        "index": 0,
        "signature": "U0lHTkVE",
    },
    PIECES[3],
]
TEXTS = ("I should ", "add.", "", "")
OPENROUTER = {
    "streamed with its text": streamed(
        *(
            {"content": "", "reasoning": t or None, "reasoning_details": [p]}
            for t, p in zip(TEXTS, PIECES, strict=True)
        ),
        {"content": "", "tool_calls": [call()]},
        reason="tool_calls",
    ),
    "streamed alone": streamed(
        *({"content": "", "reasoning_details": [piece]} for piece in PIECES),
        {"tool_calls": [call()]},
        reason="tool_calls",
    ),
    "its last piece behind the call": streamed(
        *({"content": "", "reasoning_details": [piece]} for piece in PIECES[:3]),
        {"tool_calls": [call()]},
        {"content": "", "reasoning_details": PIECES[3:]},
        reason="tool_calls",
    ),
    "in one piece": whole(
        {"content": None, "reasoning": "I should add.", "reasoning_details": DETAILS, "tool_calls": [call()]},
        "tool_calls",
    ),
}


@pytest.mark.parametrize("case", OPENROUTER)
def test_reasoning_details_go_back_whole_and_are_reasoning(
    case: str, client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(OPENROUTER[case], Answer("3"))
    first = client.responses.create(model="m", input="1+2?", tools=[ADD])
    thought = first.output[0]
    assert thought.type == "reasoning"
    assert [part.text for part in thought.content or ()] == ["I should add."]
    assert thought.encrypted_content is None
    client.responses.create(model="m", previous_response_id=first.id, input=[output()], tools=[ADD])
    assert said(upstream)["reasoning_details"] == DETAILS
    assert not said(upstream).keys() & {"reasoning", "reasoning_content"}, "it is in the details already"


def test_it_does_not_split_the_reasoning_that_is_summed_up(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(OPENROUTER["streamed with its text"], Answer("It adds."))
    concise: Any = {"summary": "concise"}
    first = client.responses.create(model="m", input="1+2?", tools=[ADD], reasoning=concise)
    assert len(upstream.requests) == 2
    thought = first.output[0]
    assert thought.type == "reasoning"
    assert [part.text for part in thought.summary] == ["It adds."]


def test_what_came_with_an_answer_that_does_not_count_is_dropped_with_it(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(
        streamed({"content": "No."}, {"content": "", **SIGNED}),
        Answer('{"name": "add", "arguments": {"a": 1}}'),
        Answer("3"),
    )
    first = client.responses.create(model="m", input="1+2?", tools=[ADD], tool_choice="required")
    made = first.output[-1]
    assert made.type == "function_call"
    result: Any = [output(made.call_id)]
    client.responses.create(model="m", previous_response_id=first.id, input=result, tools=[ADD])
    assert SECRET not in json.dumps(upstream.last.body)


def test_thinking_blocks_of_a_proxy_go_back_whole(client: OpenAI, upstream: Upstream) -> None:
    pieces = [
        {"type": "thinking", "thinking": "I should "},
        {"type": "thinking", "thinking": "add."},
        {"type": "thinking", "thinking": "", "signature": "U0lHTkVE"},
        {"type": "redacted_thinking", "data": "UkVE"},
    ]
    deltas = [{"content": "", "thinking_blocks": [piece]} for piece in pieces]
    upstream.script(streamed(*deltas, {"tool_calls": [call()]}, reason="tool_calls"), Answer("3"))
    first = client.responses.create(model="m", input="1+2?", tools=[ADD])
    client.responses.create(model="m", previous_response_id=first.id, input=[output()], tools=[ADD])
    assert said(upstream)["thinking_blocks"] == [
        {"type": "thinking", "thinking": "I should add.", "signature": "U0lHTkVE"},
        pieces[3],
    ]


def test_a_signature_in_an_id_that_is_too_long_goes_back_in_it(client: OpenAI, upstream: Upstream) -> None:
    long = "call_1__thought__" + "U0lH" * 100
    upstream.script(streamed({"tool_calls": [call() | {"id": long}]}, reason="tool_calls"), Answer("3"))
    first = client.responses.create(model="m", input="1+2?", tools=[ADD])
    shown = next(item for item in first.output if item.type == "function_call").call_id
    assert len(shown) <= 64
    client.responses.create(model="m", previous_response_id=first.id, input=[output(shown)], tools=[ADD])
    assert said(upstream)["tool_calls"][0]["id"] == long
    assert upstream.last.body["messages"][-1]["tool_call_id"] == long


def test_each_of_several_calls_has_its_own(client: OpenAI, upstream: Upstream) -> None:
    other = {"extra_content": {"google": {"thought_signature": "T1RIRVI="}}}
    calls = [call(0, **SIGNED), call(1), call(2, **other)]
    upstream.script(streamed(*({"tool_calls": [each]} for each in calls), reason="tool_calls"), Answer("3"))
    first = client.responses.create(model="m", input="1+2?", tools=[ADD])
    outputs: Any = [output(f"c{number}") for number in range(3)]
    client.responses.create(model="m", previous_response_id=first.id, input=outputs, tools=[ADD])
    sent = [each.get("extra_content") for each in said(upstream)["tool_calls"]]
    assert sent == [SIGNED["extra_content"], None, other["extra_content"]]


def test_the_signature_of_a_text_goes_back_with_the_message(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(streamed({"content": "Hello"}, {"content": "", **SIGNED}), Answer("Bye"))
    first = client.responses.create(model="m", input="Hi")
    assert first.output_text == "Hello"
    client.responses.create(model="m", previous_response_id=first.id, input="Bye")
    assert said(upstream) == {"role": "assistant", "content": "Hello", **SIGNED}


def test_it_does_not_split_what_is_said(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(streamed({"content": "Hel"}, {"content": "", **SIGNED}, {"content": "lo"}))
    first = client.responses.create(model="m", input="Hi")
    assert [item.type for item in first.output] == ["message", "reasoning"]
    assert first.output_text == "Hello"


# ---- clients that send back what they were shown ----------------------------------------------------

KEPT: dict[str, Callable[[dict[str, Any]], bool]] = {
    "all items": lambda item: True,
    "the calls alone": lambda item: item["type"] == "function_call",
}


@pytest.mark.parametrize("kept", KEPT)
def test_what_was_not_shown_is_found_by_the_ids_of_the_items(
    kept: str, client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(
        streamed({"tool_calls": [call(**SIGNED)]}, {"tool_calls": [call(1)]}, reason="tool_calls")
    )
    first = client.responses.create(model="m", input="1+2?", tools=[ADD])
    replayed = [item.model_dump(exclude_none=True) for item in first.output]
    upstream.script(Answer("3"))
    asked: Any = [
        {"role": "user", "content": "1+2?"},
        *filter(KEPT[kept], replayed),
        output(),
        output("c1"),
    ]
    client.responses.create(model="m", input=asked, tools=[ADD])
    sent = [each.get("extra_content") for each in said(upstream)["tool_calls"]]
    assert sent == [SIGNED["extra_content"], None]


def test_reasoning_that_was_not_shown_is_found_too_and_once(client: OpenAI, upstream: Upstream) -> None:
    details = {"content": "", "reasoning_details": DETAILS}
    upstream.script(
        streamed(details, {"tool_calls": [call(0)]}, {"tool_calls": [call(1)]}, reason="tool_calls")
    )
    first = client.responses.create(model="m", input="1+2?", tools=[ADD])
    calls: Any = [item.model_dump(exclude_none=True) for item in first.output if item.type == "function_call"]
    upstream.script(Answer("3"))
    asked: Any = [{"role": "user", "content": "1+2?"}, *calls, output(), output("c1")]
    client.responses.create(model="m", input=asked, tools=[ADD])
    assert said(upstream)["reasoning_details"] == DETAILS


def test_gemini_is_told_of_a_signature_that_is_lost(upstream: Upstream, tmp_path: Path) -> None:
    settings = BackendSettings(base_url=upstream.base_url, dialect="gemini", default=True)
    config = replace(config_for(upstream, tmp_path), backends={"gemini": settings})
    made: Any = [
        {"role": "user", "content": "1+2?"},
        *({"type": "function_call", "call_id": f"c{n}", "name": "add", "arguments": "{}"} for n in range(2)),
        output(),
        output("c1"),
    ]
    upstream.lenient = True
    upstream.script(Answer("3"))
    with Running(config) as running, checked_client(running.url) as client:
        client.responses.create(model="m", input=made, tools=[ADD])
    first, second = said(upstream)["tool_calls"]
    assert first["extra_content"]["google"]["thought_signature"] == "skip_thought_signature_validator"
    assert "extra_content" not in second


# ---- to nobody else ---------------------------------------------------------------------------------


@pytest.fixture
def two(upstream: Upstream, tmp_path: Path) -> Iterator[OpenAI]:
    """A server with two backends."""
    settings = BackendSettings(base_url=upstream.base_url, dialect="generic", models=["a", "b"])
    config = replace(
        config_for(upstream, tmp_path), backends={"one": settings, "two": replace(settings, models=["c"])}
    )
    with Running(config) as running, checked_client(running.url) as client:
        yield client


@pytest.mark.parametrize("model", ["b", "c"])
def test_no_other_model_and_no_other_backend_is_sent_it(model: str, two: OpenAI, upstream: Upstream) -> None:
    upstream.script(CALLED[0].values[0], Answer("3"))
    first = two.responses.create(model="a", input="1+2?", tools=[ADD])
    two.responses.create(model=model, previous_response_id=first.id, input=[output()], tools=[ADD])
    assert SECRET not in json.dumps(upstream.last.body)
    assert said(upstream)["tool_calls"][0]["function"]["name"] == "add"


Read = Callable[[httpx2.Client, str], str]
READS: dict[str, Read] = {
    "GET": lambda http, id: http.get(f"/v1/responses/{id}").text,
    "input items of the next": lambda http, id: _inherited(http, id),
}


def _inherited(http: httpx2.Client, response_id: str) -> str:
    asked = {"model": "m", "previous_response_id": response_id, "input": [output()], "tools": [ADD]}
    later = http.post("/v1/responses", json=asked).json()
    return http.get(f"/v1/responses/{later['id']}/input_items").text


@pytest.mark.parametrize("read", READS)
def test_it_is_stored_and_not_shown_unless_it_is_asked_for(
    read: str, http: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(CALLED[0].values[0], Answer("3"))
    first = http.post("/v1/responses", json={"model": "m", "input": "1+2?", "tools": [ADD]}).json()
    assert "encrypted_content" not in json.dumps(first)
    assert "encrypted_content" not in READS[read](http, first["id"])
    shown = http.get(f"/v1/responses/{first['id']}", params={"include[]": SEALED[0]}).text
    assert "encrypted_content" in shown
    assert SECRET not in shown


def test_a_stream_does_not_show_it(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(CALLED[0].values[0])
    asked = {"model": "m", "input": "1+2?", "tools": [ADD], "stream": True}
    events = http.post("/v1/responses", json=asked).text
    assert '"type":"reasoning"' in events
    assert "encrypted_content" not in events


def test_a_context_without_older_reasoning_has_the_signatures_of_calls_alone(
    client: OpenAI, upstream: Upstream
) -> None:
    details = [PIECES[3]]
    upstream.script(
        streamed(
            {"content": "", "reasoning_details": details},
            {"tool_calls": [call(**SIGNED)]},
            reason="tool_calls",
        ),
        Answer("3"),
        Answer("Sure"),
    )
    first = client.responses.create(model="m", input="1+2?", tools=[ADD])
    second = client.responses.create(model="m", previous_response_id=first.id, input=[output()], tools=[ADD])
    reasoning: Any = {"context": "current_turn"}
    client.responses.create(model="m", previous_response_id=second.id, input="Sure?", reasoning=reasoning)
    assert "reasoning_details" not in said(upstream)
    assert said(upstream)["tool_calls"][0]["extra_content"] == SIGNED["extra_content"]
