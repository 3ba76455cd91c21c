"""Hosted tools that nobody runs yet: accepted, and every call fails in words."""

import json
from typing import Any

import httpx2
import pytest
from openai import BadRequestError, OpenAI
from tests.ledger import covers
from tests.scripted import Answer, Called, Upstream
from tests.tools.using import stream

TOOLS: dict[str, dict[str, Any]] = {
    "code_interpreter": {"type": "code_interpreter", "container": {"type": "auto"}},
    "image_generation": {"type": "image_generation"},
}
ITEMS: dict[str, dict[str, Any]] = {
    "code_interpreter": {
        "type": "code_interpreter_call",
        "code": "boats",
        "container_id": "",
        "outputs": None,
    },
    "image_generation": {"type": "image_generation_call", "revised_prompt": "boats", "result": None},
}


def called(kind: str) -> str:
    """The function that a tool is offered as."""
    return next(name for name in ITEMS if kind.startswith(name))


@covers(
    "tool.code_interpreter",
    "tool.image_generation",
    "item.output.code_interpreter_call",
    "item.output.image_generation_call",
)
@pytest.mark.parametrize("name", TOOLS)
def test_a_call_fails_and_the_model_goes_on(http: httpx2.Client, upstream: Upstream, name: str) -> None:
    function = called(name)
    argument = {"code_interpreter": "code", "image_generation": "prompt"}.get(function, "query")
    upstream.script(
        Answer(calls=[Called(function, f'{{"{argument}": "boats"}}')]), Answer("Without it, then.")
    )
    response = http.post("/v1/responses", json={"model": "m", "input": "hi", "tools": [TOOLS[name]]}).json()
    failed, message = response["output"]
    assert {**failed, "id": None} == {"id": None, "status": "failed", **ITEMS[function]}
    assert message["content"][0]["text"] == "Without it, then."
    assert "not available on this server" in upstream.last.body["messages"][-1]["content"]


def test_a_picture_that_is_being_made_has_no_result_yet(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("image_generation", '{"prompt": "boats"}')]), Answer("No."))

    events = stream(client, TOOLS["image_generation"])

    added, done = (event["item"] for event in events if event.get("output_index") == 0 and "item" in event)
    assert "result" not in added
    assert (done["status"], done["result"]) == ("failed", None)


@covers(
    "tool_choice.code_interpreter",
    "tool_choice.image_generation",
)
@pytest.mark.parametrize("name", TOOLS)
def test_requiring_it_is_refused(client: OpenAI, name: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(
            model="m",
            input="hi",
            tools=[TOOLS[name]],  # type: ignore[list-item]
            tool_choice={"type": name},  # type: ignore[arg-type]
        )
    assert (refused.value.param, refused.value.code) == ("tool_choice", "unsupported_value")


CUT = {"image_generation": "failed"}  # which knows no status `incomplete`


@pytest.mark.parametrize("finish", ["length", "content_filter"])
@pytest.mark.parametrize("name", ITEMS)
def test_a_call_that_was_cut_short_is_closed(
    http: httpx2.Client, upstream: Upstream, name: str, finish: str
) -> None:
    upstream.script(Answer(calls=[Called(name, '{"query": "bo')], finish=finish))
    body = {"model": "m", "input": "hi", "tools": [TOOLS[name]]}

    response = http.post("/v1/responses", json=body).json()

    assert response["status"] == "incomplete"
    assert [item["status"] for item in response["output"]] == [CUT.get(name, "incomplete")]


@pytest.mark.parametrize("name", ITEMS)
def test_a_call_whose_upstream_broke_off_is_closed(
    http: httpx2.Client, upstream: Upstream, name: str
) -> None:
    upstream.script(Answer(calls=[Called(name, '{"query": "boats"}')], size=4, cut_after=3))
    body = {"model": "m", "input": "hi", "tools": [TOOLS[name]], "stream": True}

    events = http.post("/v1/responses", json=body).text

    ended = json.loads(events.rpartition("\ndata: ")[2])["response"]
    assert ended["status"] == "failed"
    assert [item["status"] for item in ended["output"]] == [CUT.get(name, "incomplete")]


@pytest.mark.parametrize("name", ITEMS)
def test_a_call_that_was_cut_short_does_not_stand_in_the_way(
    client: OpenAI, upstream: Upstream, name: str
) -> None:
    upstream.script(Answer(calls=[Called(name, '{"query": "bo')], finish="length"), Answer("Hello"))
    first = client.responses.create(model="m", input="hi", tools=[TOOLS[name]])  # type: ignore[list-item]

    second = client.responses.create(model="m", input="Again", previous_response_id=first.id)

    assert second.output_text == "Hello"
