"""The loop: turns of the model, with calls that we run in between."""

import json

from openai import OpenAI
from openai.types.responses import ToolParam
from tests.ledger import covers
from tests.scripted import Answer, Called, Upstream, Usage

from antiphon.engine.turns import REPAIRS, TURNS


def deferred(name: str) -> ToolParam:
    return {
        "type": "function",
        "name": name,
        "description": f"Does {name}.",
        "parameters": {"type": "object", "properties": {}},
        "strict": False,
        "defer_loading": True,
    }


TOOLS: list[ToolParam] = [{"type": "tool_search"}, deferred("sail"), deferred("dig")]


def search(path: str) -> Answer:
    return Answer(calls=[Called("tool_search", json.dumps({"paths": [path]}))])


def test_the_usage_of_all_turns_is_summed(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(search("sail"), Answer("Found.", usage=Usage(prompt=100, completion=10)))
    response = client.responses.create(model="m", input="hi", tools=TOOLS)
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (107, 15)


@covers("param.max_tool_calls")
def test_calls_past_the_limit_are_ignored_and_the_model_reads_so(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(search("sail"), search("dig"), Answer("I stop."))
    response = client.responses.create(model="m", input="hi", tools=TOOLS, max_tool_calls=1)
    assert [item.type for item in response.output] == ["tool_search_call", "tool_search_output", "message"]
    assert "no more tool calls" in upstream.last.body["messages"][-1]["content"]
    assert response.max_tool_calls == 1


def test_a_model_that_calls_past_the_limit_in_vain_is_soon_given_no_choice(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.on(lambda body: body.get("tool_choice") == "none", Answer("I stop."))
    upstream.default = search("sail")
    response = client.responses.create(model="m", input="hi", tools=TOOLS, max_tool_calls=1)
    assert (response.status, response.output_text) == ("completed", "I stop.")
    assert len(upstream.requests) == 1 + REPAIRS + 1


def test_a_model_that_calls_past_the_limit_whatever_it_is_told_is_stopped(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.default = search("sail")
    response = client.responses.create(model="m", input="hi", tools=TOOLS, max_tool_calls=1)
    assert response.status == "incomplete"
    assert [item.type for item in response.output] == ["tool_search_call", "tool_search_output"]
    assert len(upstream.requests) == 1 + REPAIRS + 1


def test_calls_that_were_not_valid_are_none_past_the_limit(client: OpenAI, upstream: Upstream) -> None:
    """A model that has used up its calls may still call the client, and have as many tries as any."""
    unfound = Answer(calls=[Called("dig")])
    upstream.script(search("sail"), *[unfound] * REPAIRS, Answer(calls=[Called("sail")]))
    response = client.responses.create(model="m", input="hi", tools=TOOLS, max_tool_calls=1)
    assert (response.status, response.output[-1].type) == ("completed", "function_call")


@covers("incomplete.max_messages")
def test_a_model_that_never_stops_calling_is_stopped(client: OpenAI, upstream: Upstream) -> None:
    upstream.default = search("sail")
    response = client.responses.create(model="m", input="hi", tools=TOOLS)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_messages"
    assert len(upstream.requests) == TURNS


def test_what_the_model_said_before_a_call_stays_said(client: OpenAI, upstream: Upstream) -> None:
    call = Called("tool_search", json.dumps({"paths": ["sail"]}))
    upstream.script(Answer("Let me look.", calls=[call]), Answer("Found."))
    response = client.responses.create(model="m", input="hi", tools=TOOLS)
    assert [item.type for item in response.output] == [
        "message",
        "tool_search_call",
        "tool_search_output",
        "message",
    ]
    roles = [message["role"] for message in upstream.last.body["messages"]]
    assert roles == ["user", "assistant", "tool"]


def test_call_ids_that_an_upstream_uses_again_are_replaced(client: OpenAI, upstream: Upstream) -> None:
    tool: ToolParam = {"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": False}
    upstream.script(Answer(calls=[Called("add", id="call_0")]), Answer(calls=[Called("add", id="call_0")]))
    first = client.responses.create(model="m", input="hi", tools=[tool])
    output = {"type": "function_call_output", "call_id": "call_0", "output": "3"}
    second = client.responses.create(
        model="m",
        input=[output],  # type: ignore[list-item]
        previous_response_id=first.id,
        tools=[tool],
    )
    ids = [call.call_id for response in (first, second) for call in response.output]  # type: ignore[union-attr]
    assert ids[0] == "call_0"
    assert ids[1] != "call_0"
