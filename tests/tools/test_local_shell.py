"""`local_shell`: the shell of older clients."""

import json
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from tests.api.asking import Json, some_id
from tests.ledger import covers
from tests.scripted import Answer, Upstream
from tests.tools.using import ask, calls, emitted, only, read, stream

SHELL: Json = {"type": "local_shell"}
CALL = '{"command": ["ls", "-a"], "env": null, "timeout_ms": 500, "working_directory": "/tmp"}'


@covers("tool.local_shell", "item.output.local_shell_call")
def test_a_command_is_an_item_of_its_own(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("local_shell", CALL, 4))

    events = stream(client, SHELL)

    assert emitted(events) == ["output_item.added", "output_item.done"]
    assert events[2]["item"]["action"] == {"type": "exec", "command": [], "env": {}}
    assert events[3]["item"] == {
        "type": "local_shell_call",
        "id": some_id("lsh"),
        "call_id": "call_0",
        "action": {
            "type": "exec",
            "command": ["ls", "-a"],
            "env": {},
            "timeout_ms": 500,
            "working_directory": "/tmp",
        },
        "status": "completed",
    }


@pytest.mark.parametrize(
    "wrong", ["{}", '{"command": []}', '{"command": "ls"}', '{"command": ["ls"], "x": 1}', "[]"]
)
def test_a_call_that_is_no_command_is_asked_for_again(client: OpenAI, upstream: Upstream, wrong: str) -> None:
    upstream.script(calls("local_shell", wrong), calls("local_shell", CALL))

    assert only(ask(client, SHELL))["action"]["command"] == ["ls", "-a"]


def test_what_it_printed_reads_in_the_next_turn(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("local_shell", CALL), Answer("Done."))
    first = client.responses.create(model="m", input="Hi", tools=[SHELL])  # type: ignore[list-item]
    output: Any = {"type": "local_shell_call_output", "call_id": "call_0", "output": "a.txt"}

    client.responses.create(model="m", input=[output], previous_response_id=first.id)

    call, result = read(upstream)[1:]
    assert json.loads(call["tool_calls"][0]["function"]["arguments"])["command"] == ["ls", "-a"]
    assert result == {"role": "tool", "tool_call_id": "call_0", "content": "a.txt"}


# In the reference an output has no call_id: its `id` is that of the call.
EARLIER: Json = {
    "type": "local_shell_call",
    "id": "lsh_1",
    "call_id": "call_1",
    "action": {"type": "exec", "command": ["ls"], "env": {}},
    "status": "completed",
}
PRINTED: Json = {"type": "local_shell_call_output", "output": "a.txt"}


@covers("item.conversation.local_shell_call_output")
def test_what_a_command_printed_reads_from_a_conversation_too(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("One."), Answer("One."))
    items: Any = [EARLIER, PRINTED | {"id": "call_1"}]
    conversation = client.conversations.create(items=items)

    for _ in range(2):
        client.responses.create(model="m", input="How many?", conversation=conversation.id)

        call, result = read(upstream)[:2]
        assert result == {"role": "tool", "tool_call_id": call["tool_calls"][0]["id"], "content": "a.txt"}


@covers("item.input.local_shell_call_output")
@pytest.mark.parametrize("name", ["lsh", "call"])
def test_what_a_command_printed_answers_the_call_of_a_response(
    client: OpenAI, http: httpx2.Client, upstream: Upstream, name: str
) -> None:
    upstream.script(calls("local_shell", CALL), Answer("Done."), Answer("Bye."))
    first = client.responses.create(model="m", input="Hi", tools=[SHELL])  # type: ignore[list-item]
    output: Any = PRINTED | {"id": first.output[0].id if name == "lsh" else "call_0"}

    second = client.responses.create(model="m", input=[output], previous_response_id=first.id)
    client.responses.create(model="m", input="Bye", previous_response_id=second.id)

    assert read(upstream)[2] == {"role": "tool", "tool_call_id": "call_0", "content": "a.txt"}
    assert http.get(f"/v1/responses/{first.id}").json()["output"][0]["type"] == "local_shell_call"
    page = http.get(f"/v1/responses/{second.id}/input_items").json()
    assert page["data"][0]["type"] == "local_shell_call_output"


@covers("item.input.local_shell_call_output")
def test_a_conversation_keeps_an_output_beside_the_call_whose_id_it_has(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(calls("local_shell", CALL), Answer("Done."), Answer("Bye."))
    conversation = client.conversations.create().id
    first = client.responses.create(model="m", input="Hi", tools=[SHELL], conversation=conversation)  # type: ignore[list-item]
    output: Any = PRINTED | {"id": first.output[0].id}

    client.responses.create(model="m", input=[output], conversation=conversation)
    client.responses.create(model="m", input="Bye", conversation=conversation)

    assert read(upstream)[2] == {"role": "tool", "tool_call_id": "call_0", "content": "a.txt"}
    ids = [item.id for item in client.conversations.items.list(conversation)]
    assert len(ids) == len(set(ids)) == 6
