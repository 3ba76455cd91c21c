"""Compaction: by its endpoint, by an item, and read back."""

from typing import Any

import pytest
from openai import BadRequestError, OpenAI
from openai.types.responses import ResponseInputParam
from tests.api.asking import refused
from tests.ledger import covers, ids_of
from tests.scripted import Answer, Called, Upstream

TALK: ResponseInputParam = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": "My name is Ada."},
    {"role": "assistant", "content": "Hello Ada."},
    {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "call_1", "output": "a lot of text"},
]


def contents(upstream: Upstream) -> list[str]:
    return [message["content"] for message in upstream.last.body["messages"]]


@covers("endpoint.POST /responses/compact")
def test_what_users_wrote_survives_word_for_word_beside_one_compaction(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(Answer("Ada was greeted."))
    compacted = client.responses.compact(model="m", input=TALK)
    kinds = [(item.type, getattr(item, "role", None)) for item in compacted.output]
    assert kinds == [("message", "developer"), ("message", "user"), ("compaction", None)]
    assert compacted.usage.total_tokens == 12
    assert "a lot of text" in str(upstream.last.body["messages"])


@covers("item.input.compaction")
def test_a_compaction_is_read_back_as_the_summary(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Ada was greeted."), Answer("Ada."))
    compacted = client.responses.compact(model="m", input=TALK)
    items = [item.model_dump(exclude_none=True, warnings=False) for item in compacted.output]
    client.responses.create(model="m", input=[*items, {"role": "user", "content": "Who am I?"}])  # type: ignore[list-item]
    told = "\n".join(contents(upstream))
    assert "Ada was greeted." in told
    assert "My name is Ada." in told
    assert "a lot of text" not in told


@covers("item.input.compaction_trigger", "event.response.compaction.compacting")
def test_a_trigger_at_the_end_gives_exactly_one_compaction(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Ada was greeted."))
    events = list(
        client.responses.create(model="m", input=[*TALK, {"type": "compaction_trigger"}], stream=True)
    )
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.compaction.compacting",
        "response.output_item.done",
        "response.completed",
    ]
    assert len(upstream.requests) == 1


@covers("error.invalid_value.trigger_before_more_input")
@pytest.mark.parametrize("behind", [{"role": "user", "content": "Who am I?"}, {"type": "compaction_trigger"}])
def test_a_trigger_before_more_input_is_refused(client: OpenAI, upstream: Upstream, behind: Any) -> None:
    with refused(400, "invalid_value", f"input[{len(TALK)}]"):
        client.responses.create(model="m", input=[*TALK, {"type": "compaction_trigger"}, behind])

    assert upstream.requests == []


def test_a_chain_goes_on_from_its_compaction(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello Ada."), Answer("Ada was greeted."), Answer("Ada."))
    first = client.responses.create(model="m", input="My name is Ada.")
    second = client.responses.create(
        model="m", previous_response_id=first.id, input=[{"type": "compaction_trigger"}]
    )
    client.responses.create(model="m", previous_response_id=second.id, input="Who am I?")
    told = "\n".join(contents(upstream))
    assert "Ada was greeted." in told
    assert "Hello Ada." not in told


def test_a_compaction_that_was_not_sealed_here_is_refused(client: OpenAI) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(
            model="m",
            input=[
                {"type": "compaction", "encrypted_content": "bm9uc2Vuc2U="},
                {"role": "user", "content": "hi"},
            ],
        )
    assert refused.value.code == "invalid_encrypted_content"


def test_a_model_that_writes_no_summary_fails_the_compaction(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("look")]))
    with pytest.raises(Exception, match="no summary"):
        client.responses.compact(model="m", input=TALK)


@covers("param.context_management", *ids_of("param.context_management"))
def test_a_context_past_the_threshold_is_compacted_before_the_answer(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(Answer("Ada was greeted."), Answer("Hello again."))
    response = client.responses.create(
        model="m",
        input=[*TALK, {"role": "user", "content": "word " * 2000}],
        context_management=[{"type": "compaction", "compact_threshold": 1000}],
    )
    assert [item.type for item in response.output] == ["compaction", "message"]
    assert "a lot of text" not in "\n".join(contents(upstream))


def test_a_context_below_the_threshold_is_left_alone(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello again."))
    response = client.responses.create(
        model="m", input=TALK, context_management=[{"type": "compaction", "compact_threshold": 1000}]
    )
    assert [item.type for item in response.output] == ["message"]


def test_a_compaction_cannot_be_made_in_the_background(client: OpenAI, upstream: Upstream) -> None:
    with refused(400, "unsupported_parameter", "background"):
        client.responses.compact(model="m", input=TALK, extra_body={"background": True})
    assert upstream.requests == []
