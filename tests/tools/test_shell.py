"""`shell` on the client's machine: commands, told as they are written."""

import json
from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import Json, some_id
from tests.ledger import covers
from tests.scripted import Answer, Called, Upstream
from tests.tools.using import ask, calls, emitted, offered, only, read, stream

SHELL: Json = {"type": "shell"}
COMMANDS = ["ls -a ~/Desktop", 'echo "é 😀" | wc\n']


def arguments(commands: Any = COMMANDS, **members: Any) -> str:
    return json.dumps({"commands": commands, **members})


@covers("tool.shell", "item.output.shell_call")
def test_commands_are_an_item_of_their_own(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("shell", arguments(timeout_ms=1000, max_output_length=None)))

    assert only(ask(client, SHELL)) == {
        "type": "shell_call",
        "id": some_id("sh"),
        "call_id": "call_0",
        "action": {"commands": COMMANDS, "timeout_ms": 1000, "max_output_length": None},
        "environment": None,
        "status": "completed",
    }


@covers(
    "event.response.shell_call_command.added",
    "event.response.shell_call_command.delta",
    "event.response.shell_call_command.done",
)
@pytest.mark.parametrize("size", [1, 4])
def test_commands_are_emitted_as_they_are_written(client: OpenAI, upstream: Upstream, size: int) -> None:
    upstream.script(calls("shell", arguments(), size))

    events = stream(client, SHELL)

    kinds = [kind for kind in emitted(events) if not kind.endswith(".delta")]
    command = ["shell_call_command.added", "shell_call_command.done"]
    assert kinds == ["output_item.added", *command, *command, "output_item.done"]
    assert events[2]["item"]["action"]["commands"] == []
    for index, whole in enumerate(COMMANDS):
        told_of = [event for event in events if event.get("command_index") == index]
        assert told_of[0]["command"] == ""
        assert "".join(event["delta"] for event in told_of[1:-1]) == told_of[-1]["command"] == whole
        assert len(told_of) > 4
        assert not any("item_id" in event for event in told_of)


def test_commands_are_emitted_before_the_call_is_whole(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("shell", arguments()[:20])], finish="length"))

    answer = ask(client, SHELL)

    assert only(answer)["action"]["commands"] == ["ls -a"]
    assert only(answer)["status"] == "incomplete"


@pytest.mark.parametrize("wrong", ["{}", '{"commands": []}', '{"commands": "ls"}', '{"commands": [1]}', "ls"])
def test_a_call_without_commands_is_asked_for_again(client: OpenAI, upstream: Upstream, wrong: str) -> None:
    upstream.script(calls("shell", wrong), calls("shell", arguments()))

    assert only(ask(client, SHELL))["action"]["commands"] == COMMANDS


def test_commands_that_break_off_are_never_completed(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("shell", '{"commands": ["rm -rf /tmp'))

    answer = ask(client, SHELL)

    assert (answer["status"], only(answer)["status"]) == ("failed", "incomplete")


@covers("item.input.shell_call_output")
def test_what_commands_printed_reads_in_the_next_turn(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("shell", arguments(["a", "b"])), Answer("Done."))
    first = client.responses.create(model="m", input="Hi", tools=[SHELL])  # type: ignore[list-item]
    printed = [
        {"stdout": "out", "stderr": "err", "outcome": {"type": "exit", "exit_code": 1}},
        {"stdout": "", "stderr": "", "outcome": {"type": "timeout"}},
    ]
    output: Any = {"type": "shell_call_output", "call_id": "call_0", "output": printed}

    client.responses.create(model="m", input=[output], previous_response_id=first.id)

    assert read(upstream)[-1]["content"] == "out\nerr\n[exit code 1]\n[timeout]"


@covers(
    "tool.shell.environment",
    "tool.shell.environment.local",
    "tool.shell.environment.local.skills",
    "tool.shell.environment.local.skills.name",
    "tool.shell.environment.local.skills.description",
    "tool.shell.environment.local.skills.path",
)
def test_the_model_reads_of_the_machines_skills(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("shell", arguments()))
    skill = {"name": "csv", "description": "Reads\n  tables.\n\n# Rules", "path": "/skills/csv"}

    item = only(ask(client, SHELL | {"environment": {"type": "local", "skills": [skill]}}))

    assert item["environment"] == {"type": "local"}
    assert "- csv: Reads tables. # Rules (/skills/csv)" in offered(upstream)["shell"]["description"]


@covers("tool_choice.shell")
def test_a_shell_can_be_forced(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("shell", arguments()))

    ask(client, SHELL, tool_choice={"type": "shell"})

    assert upstream.last.body["tool_choice"]["function"] == {"name": "shell"}
