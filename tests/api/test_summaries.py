"""`reasoning.summary`: what is told of raw reasoning to those who ask for a summary."""

from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import ADD, Json, message, some_id, usage, whole
from tests.ledger import covers
from tests.scripted import Answer, Called, Gate, Upstream, Usage, refusal

LONG = "First I thought this. Then I thought that."
SUMMARY = "It was this or that."


def thought(*summary: str) -> Json:
    parts = [{"type": "summary_text", "text": words} for words in summary]
    return {"id": some_id("rs"), "type": "reasoning", "summary": parts}


def ask(client: OpenAI, **members: Any) -> Any:
    return client.responses.create(model="m", input="Hi", **({"reasoning": {"summary": "concise"}} | members))


def asks_for_summary(body: Any) -> bool:
    return body["messages"][0]["content"].startswith("You sum up the reasoning")


@covers("param.reasoning.summary")
@pytest.mark.parametrize("asked", ["auto", "detailed"])
def test_a_detailed_summary_is_the_reasoning_itself(client: OpenAI, upstream: Upstream, asked: Any) -> None:
    upstream.script(Answer("Hello", reasoning=LONG))

    told = ask(client, reasoning={"summary": asked})

    assert whole(told)["output"] == [thought(LONG), message("Hello")]
    assert whole(told)["reasoning"] == {"effort": None, "summary": "detailed"}


@covers("param.reasoning.summary")
def test_a_concise_summary_is_written_by_the_model(client: OpenAI, upstream: Upstream) -> None:
    upstream.on(asks_for_summary, Answer(SUMMARY, usage=Usage(prompt=20, completion=6)))
    upstream.script(Answer("Hello", reasoning=LONG, size=5))

    told = ask(client)

    assert whole(told)["output"] == [thought(SUMMARY), message("Hello")]
    assert whole(told)["usage"] == usage(27, 11)
    assert told.reasoning.summary == "concise"
    assert upstream.last.body["messages"][-1] == {"role": "user", "content": LONG}


def test_the_summary_is_emitted_before_the_answer_as_it_comes(client: OpenAI, upstream: Upstream) -> None:
    gate = Gate(after=3)
    upstream.on(asks_for_summary, Answer(SUMMARY, size=4, gate=gate))
    upstream.script(Answer("Hello", reasoning=LONG))

    seen = []
    for event in ask(client, stream=True):
        seen.append(event.type)
        if event.type == "response.reasoning_summary_text.delta":
            gate.open()

    assert seen.index("response.reasoning_summary_text.done") < seen.index("response.output_text.delta")


def test_every_stretch_of_reasoning_has_its_summary(client: OpenAI, upstream: Upstream) -> None:
    upstream.on(asks_for_summary, Answer(SUMMARY))
    upstream.script(Answer("I add.", reasoning=LONG, calls=[Called("add", "{}")]))

    assert [item.type for item in ask(client, tools=[ADD]).output] == [
        "reasoning",
        "message",
        "function_call",
    ]


def test_reasoning_without_an_answer_has_its_summary_too(client: OpenAI, upstream: Upstream) -> None:
    upstream.on(asks_for_summary, Answer(SUMMARY))
    upstream.script(Answer(reasoning=LONG))

    told = ask(client)

    assert whole(told)["output"] == [thought(SUMMARY)]
    assert whole(told)["usage"] == usage(14, 10)


@pytest.mark.parametrize("answer", [Answer(""), refusal(500, "No."), Answer(cut_after=0)], ids=repr)
def test_without_a_summary_the_reasoning_is_emitted_itself(
    client: OpenAI, upstream: Upstream, answer: Answer
) -> None:
    upstream.on(asks_for_summary, answer)
    upstream.script(Answer("Hello", reasoning=LONG))

    assert whole(ask(client))["output"] == [thought(LONG), message("Hello")]


def test_sealed_reasoning_is_all_of_it(client: OpenAI, upstream: Upstream) -> None:
    upstream.on(asks_for_summary, Answer(SUMMARY))
    upstream.script(Answer("Hello", reasoning=LONG), Answer("ok"))
    first = ask(client, include=["reasoning.encrypted_content"], store=False)

    sealed: Any = [whole(item) for item in first.output]
    client.responses.create(
        model="m",
        input=[{"role": "user", "content": "Hi"}, *sealed, {"role": "user", "content": "More"}],
        reasoning={"context": "all_turns"},
    )

    assert sealed[0]["summary"] == [{"type": "summary_text", "text": SUMMARY}]
    assert len(sealed[0]["encrypted_content"]) > len(LONG)


def test_an_answer_without_reasoning_costs_no_second_call(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))

    assert whole(ask(client))["output"] == [message("Hello")]
    assert len(upstream.requests) == 1


def test_a_client_that_goes_away_ends_the_summary_too(client: OpenAI, upstream: Upstream) -> None:
    gate = Gate(after=3)
    upstream.on(asks_for_summary, Answer(SUMMARY, size=4, gate=gate))
    upstream.script(Answer("Hello", reasoning=LONG))

    stream = ask(client, stream=True)
    next(event for event in stream if event.type == "response.reasoning_summary_text.delta")
    gate.wait_reached()
    stream.close()

    for received in upstream.wait_requests(2):
        received.wait_ended()
    assert upstream.requests[1].hung_up
