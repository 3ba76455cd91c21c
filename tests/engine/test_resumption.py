"""A run that was interrupted: what the next process makes of what it finds."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import ADD, Json
from tests.api.test_background import begin, ended
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Called, Gate, Upstream
from tests.tools.mcp_servers import ServedMcp, Toolset, served
from tests.tools.using import calls, read

from antiphon.config import Config, Outbound


@pytest.fixture
def things() -> Toolset:
    return Toolset()


@pytest.fixture
def mcp(things: Toolset) -> Iterator[ServedMcp]:
    with served(things.server()) as running:
        yield running


@pytest.fixture
def config(upstream: Upstream, tmp_path: Path) -> Config:
    return replace(config_for(upstream, tmp_path), outbound=Outbound(allow_private=True))


@contextlib.contextmanager
def life(config: Config) -> Iterator[OpenAI]:
    """A client of a server that stops with its runs where they are."""
    with Running(config) as running, checked_client(running.url) as client:
        yield client


def read_until(client: OpenAI, kind: str, count: int) -> str:
    """Read a new background stream until so many events of a kind were told. Gives the response's id."""
    with client.responses.create(model="m", input="hi", tools=[ADD], background=True, stream=True) as told:  # type: ignore[list-item]
        created = next(iter(told))
        assert created.type == "response.created"
        for event in told:
            count -= event.type == kind
            if count == 0:
                return created.response.id
    raise AssertionError("the stream ended")


def tool(mcp: ServedMcp) -> Json:
    base = {"type": "mcp", "server_label": "things", "server_url": f"{mcp.url}/mcp"}
    return base | {"require_approval": "never"}


def test_a_call_that_was_answered_is_not_made_again(
    config: Config, upstream: Upstream, mcp: ServedMcp, things: Toolset
) -> None:
    gate = Gate(after=0)
    upstream.script(calls("things__delete", '{"name":"a"}'), Answer("never told", gate=gate), Answer("Done."))
    with life(config) as client:
        response = begin(client, tools=[tool(mcp)])
        gate.wait_reached()
    with life(config) as client:
        response = ended(client, response.id)
    assert [item.type for item in response.output] == ["mcp_list_tools", "mcp_call", "message"]
    assert (response.output_text, things.called) == ("Done.", ["delete a"])
    assert read(upstream)[-1] | {"tool_call_id": ""} == {
        "role": "tool",
        "content": "a is gone",
        "tool_call_id": "",
    }
    assert response.usage is not None
    assert response.usage.total_tokens == 24


def test_of_a_call_that_was_interrupted_the_model_reads_so(
    config: Config, upstream: Upstream, mcp: ServedMcp, things: Toolset
) -> None:
    upstream.script(calls("things__wait", "{}"), Answer("I give up."))
    with life(config) as client:
        response = begin(client, tools=[tool(mcp)])
        assert things.begun.wait(10)
    with life(config) as client:
        response = ended(client, response.id)
    call = next(item for item in response.output if item.type == "mcp_call")
    assert (call.status, call.output, response.output_text) == ("incomplete", None, "I give up.")
    assert "may have taken effect" in read(upstream)[-1]["content"]


def test_calls_at_once_are_all_emitted_before_one_is_made(
    config: Config, upstream: Upstream, mcp: ServedMcp, things: Toolset
) -> None:
    both = [Called("things__wait", "{}"), Called("things__delete", json.dumps({"name": "a"}))]
    upstream.script(Answer(calls=both), Answer("I give up."))
    with life(config) as client:
        response = begin(client, tools=[tool(mcp)])
        assert things.begun.wait(10)
    with life(config) as client:
        response = ended(client, response.id)
    made = [item for item in response.output if item.type == "mcp_call"]
    assert [(call.name, call.status) for call in made] == [("wait", "incomplete"), ("delete", "incomplete")]


def test_a_call_of_the_clients_that_was_emitted_is_the_end(config: Config, upstream: Upstream) -> None:
    both = [Called("add", '{"a":1,"b":2}', id="call_a"), Called("add", '{"a":3,"b":4}', id="call_b")]
    upstream.script(Answer(calls=both, size=5, gate=Gate(after=7)))
    with life(config) as client:
        response_id = read_until(client, "response.output_item.added", 2)
    with life(config) as client:
        response = ended(client, response_id)
    assert [(item.type, item.status) for item in response.output] == [  # type: ignore[union-attr]
        ("function_call", "completed"),
        ("function_call", "incomplete"),
    ]
    assert len(upstream.requests) == 1


def test_what_was_cut_short_does_not_stand_in_the_way_of_the_next_turn(
    config: Config, upstream: Upstream
) -> None:
    upstream.script(
        Answer(calls=[Called("add", '{"a":1,"b":2}')], size=3, gate=Gate(after=3)),
        Answer("Three."),
        Answer("Yes."),
    )
    with life(config) as client:
        response_id = read_until(client, "response.function_call_arguments.delta", 1)
    with life(config) as client:
        response = ended(client, response_id)
        client.responses.create(model="m", input="Sure?", previous_response_id=response.id, tools=[ADD])
    assert [message["content"] for message in read(upstream)] == ["hi", "Three.", "Sure?"]


def test_secrets_of_the_request_are_there_for_the_next_process_and_nowhere_else(
    config: Config, upstream: Upstream, mcp: ServedMcp, things: Toolset, tmp_path: Path
) -> None:
    gate = Gate(after=0)
    upstream.script(Answer("x", gate=gate), calls("things__add", '{"a":1,"b":2}'), Answer("Done."))
    secret = {**tool(mcp), "headers": {"x-key": "very-secret-word"}}
    with life(config) as client:
        response = begin(client, tools=[secret])
        gate.wait_reached()
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir() if file.is_file())
    assert b"very-secret-word" not in files
    with life(config) as client:
        response = ended(client, response.id)
    assert response.output_text == "Done."
    assert things.headers[-1]["x-key"] == "very-secret-word"


def test_a_model_that_is_gone_fails_the_run(config: Config, upstream: Upstream) -> None:
    gate = Gate(after=0)
    upstream.script(Answer("x", gate=gate))
    with life(config) as client:
        response = begin(client)
        gate.wait_reached()
    named = replace(config.backends["upstream"], models=["other"], default=False)
    with life(replace(config, backends={"upstream": named})) as client:
        response = ended(client, response.id)
    assert response.status == "failed"
    assert response.error is not None
    assert "'m'" in response.error.message


@pytest.mark.parametrize("choice", ["required", {"type": "mcp", "server_label": "things", "name": "delete"}])
def test_a_call_that_had_to_be_made_is_not_forced_again(
    config: Config, upstream: Upstream, mcp: ServedMcp, things: Toolset, choice: Any
) -> None:
    gate = Gate(after=0)
    delete = calls("things__delete", '{"name":"a"}')
    upstream.script(delete, Answer("never told", gate=gate))
    with life(config) as client:
        response = begin(client, tools=[tool(mcp)], tool_choice=choice)
        gate.wait_reached()
    upstream.on(lambda body: body.get("tool_choice") not in (None, "auto"), delete)
    upstream.default = Answer("Done.")
    with life(config) as client:
        assert ended(client, response.id).output_text == "Done."
    assert things.called == ["delete a"]


def test_a_context_that_grew_by_the_responses_own_calls_is_not_compacted(
    config: Config, upstream: Upstream, mcp: ServedMcp
) -> None:
    upstream.tokenizer = "messages"
    gate = Gate(after=0)
    long = json.dumps({"name": "a b c d e f g h i j " * 200})
    upstream.script(calls("things__delete", long), Answer("never told", gate=gate), Answer("Done."))
    limit = [{"type": "compaction", "compact_threshold": 1000}]
    with life(config) as client:
        response = begin(client, tools=[tool(mcp)], context_management=limit)
        gate.wait_reached()
    with life(config) as client:
        response = ended(client, response.id)
    assert [item.type for item in response.output] == ["mcp_list_tools", "mcp_call", "message"]
    assert [message["role"] for message in read(upstream)] == ["user", "assistant", "tool"]


def test_a_compaction_that_was_interrupted_is_made_anew_and_stands_in_its_place(
    config: Config, upstream: Upstream
) -> None:
    given = [{"role": "user", "content": "x"}, {"type": "compaction_trigger"}]
    summing = Gate(after=0)
    upstream.script(Answer("S", gate=summing), Answer("SUMMARY"), Answer("Done."))
    with life(config) as client:
        response = client.responses.create(model="m", input=given, background=True)  # type: ignore[arg-type]
        summing.wait_reached()
    with life(config) as client:
        response = ended(client, response.id)
        client.responses.create(model="m", input="behind", previous_response_id=response.id)
    assert [item.type for item in response.output] == ["compaction", "compaction"]
    contents = [message["content"] for message in read(upstream)]
    assert contents == ["x", "Summary of the conversation so far:\nSUMMARY", "behind"]


def test_a_response_keeps_what_it_was_made_from_when_that_is_deleted(
    config: Config, upstream: Upstream
) -> None:
    gate = Gate(after=0)
    upstream.script(Answer("One."), Answer("Two.", gate=gate), Answer("Three."))
    with life(config) as client:
        before = client.responses.create(model="m", input="first")
        response = begin(client, previous_response_id=before.id)
        gate.wait_reached()
        client.responses.delete(before.id)
        gate.open()
        ended(client, response.id)
        assert len(client.responses.input_items.list(response.id).data) == 3
        client.responses.create(model="m", input="next", previous_response_id=response.id)
    assert [message["content"] for message in read(upstream)] == ["first", "One.", "hi", "Two.", "next"]


def test_a_log_that_cannot_be_read_ends_its_run(config: Config, upstream: Upstream) -> None:
    gate = Gate(after=0)
    upstream.script(Answer("x", gate=gate), Answer("Hello"))
    with life(config) as client:
        conversation = client.conversations.create()
        response = begin(client, conversation=conversation.id)
        gate.wait_reached()
    with contextlib.closing(sqlite3.connect(Path(config.data_dir) / "antiphon.db")) as db:
        broken = "UPDATE events SET json = CAST(replace(CAST(json AS TEXT), 'queued', 'qeued') AS BLOB)"
        db.execute(broken)
        db.commit()
    with life(config) as client:
        assert ended(client, response.id).status == "failed"
        client.responses.create(model="m", input="hi", conversation=conversation.id)


def test_secrets_of_servers_in_the_input_reach_the_next_process_too(
    config: Config, upstream: Upstream, mcp: ServedMcp, things: Toolset, tmp_path: Path
) -> None:
    add, gate = calls("things__add", '{"a":1,"b":2}'), Gate(after=0)
    upstream.script(add, Answer("x", gate=gate), add, Answer("Done."), Answer("Next."))
    brought = {**tool(mcp), "headers": {"x-key": "very-secret-word"}}
    given = [
        {"type": "additional_tools", "role": "developer", "tools": [brought]},
        {"role": "user", "content": "hi"},
    ]
    with life(config) as client:
        response = client.responses.create(model="m", input=given, background=True)  # type: ignore[arg-type]
        gate.wait_reached()
    assert b"very-secret-word" not in b"".join(f.read_bytes() for f in tmp_path.iterdir() if f.is_file())
    with life(config) as client:
        response = ended(client, response.id)
        assert response.output_text == "Done."
        client.responses.create(model="m", input="more", previous_response_id=response.id)
    assert [headers["x-key"] for headers in things.headers] == ["very-secret-word"] * 2
