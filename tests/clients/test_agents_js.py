"""@openai/agents for JavaScript: agents.mjs."""

import json
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.clients.node import Node
from tests.conftest import Running
from tests.scripted import Answer, Called, Upstream

_numbers = count()


@pytest.fixture
def play(node: Node, server: Running, tmp_path: Path) -> Any:
    """Plays a scenario of agents.mjs in a folder of its own."""
    return lambda scenario: node.ask("agents.mjs", scenario, server.url, tmp_path)


def call(name: str, **arguments: Any) -> Answer:
    """An answer that is a call. No two calls of a run may have the same id."""
    return Answer(calls=[Called(name, json.dumps(arguments), f"call_of_{next(_numbers)}")], size=5)


def said(upstream: Upstream) -> list[tuple[str, Any]]:
    """The last request's messages, without calls."""
    return [(m["role"], m["content"]) for m in upstream.last.body["messages"] if m.get("content")]


def test_function_tools_run_until_the_answer(play: Any, upstream: Upstream) -> None:
    upstream.script(call("weather", city="Bonn"), Answer("Rain."))
    assert play("functions") == {"output": "Rain."}
    assert said(upstream) == [("system", "Be brief."), ("user", "Bonn?"), ("tool", "Bonn: rain")]


def test_a_handoff_passes_the_conversation_to_another_agent(play: Any, upstream: Upstream) -> None:
    upstream.script(call("transfer_to_Bob"), Answer("Bob here."))
    assert play("handoff") == {"output": "Bob here.", "agent": "Bob"}
    assert said(upstream)[:2] == [("system", "You are Bob."), ("user", "Bob, please.")]


def test_an_answer_takes_the_form_of_a_schema(play: Any, upstream: Upstream) -> None:
    upstream.script(call("weather", city="Bonn"), Answer('{"city": "Bonn", "rain": true}'))
    assert play("structure") == {"output": {"city": "Bonn", "rain": True}}
    assert upstream.last.body["response_format"]["json_schema"]["strict"] is True


def test_a_run_is_streamed(play: Any, upstream: Upstream) -> None:
    upstream.script(call("weather", city="Bonn"), Answer("It rains in Bonn.", size=4))
    text = "It rains in Bonn."
    items = ["tool_called", "tool_output", "message_output_created"]
    assert play("stream") == {"output": text, "text": text, "items": items}


@pytest.mark.parametrize("way", ["continued", "conversation"])
def test_state_is_kept_between_runs(play: Any, upstream: Upstream, way: str) -> None:
    upstream.script(call("weather", city="Bonn"), Answer("It rains."), Answer("Yes."))
    assert play(way) == {"output": "Yes."}
    assert [text for _, text in said(upstream)] == ["Bonn?", "Bonn: rain", "It rains.", "Sure?"]


def test_a_computer_is_used_until_the_task_is_done(play: Any, upstream: Upstream) -> None:
    click = {"type": "click", "x": 3, "y": 4, "button": "left"}
    upstream.script(
        call("computer", actions=[{"type": "screenshot"}]),
        call("computer", actions=[click, {"type": "type", "text": "hi"}]),
        Answer("I wrote it."),
    )
    told = play("computer")
    assert told["output"] == "I wrote it."
    assert [action[0] for action in told["done"]] == ["click", "type"]
    assert told["done"][0][:3] == ["click", 3, 4]
    seen = [
        part
        for m in upstream.last.body["messages"]
        if isinstance(m["content"], list)
        for part in m["content"]
    ]
    assert sum(part["type"] == "image_url" for part in seen) == 2


def test_a_shell_on_the_clients_machine_runs_what_the_model_writes(
    play: Any, upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(
        call("shell", commands=["echo one > a.txt"]),
        call("shell", commands=["cat a.txt"]),
        Answer("There is one."),
    )
    assert play("shell") == {"output": "There is one."}
    assert (tmp_path / "a.txt").read_text() == "one\n"
    assert "one" in [text for role, text in said(upstream) if role == "tool"][-1]


def test_files_are_patched_on_the_clients_machine(play: Any, upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("x\n")
    upstream.script(
        call("apply_patch", type="create_file", path="a.txt", diff="+one\n+two\n"),
        call("apply_patch", type="update_file", path="a.txt", diff="@@\n one\n-two\n+zwei\n"),
        call("apply_patch", type="delete_file", path="old.txt"),
        Answer("Done."),
    )
    assert play("patch") == {"output": "Done."}
    assert {file.name: file.read_text().rstrip() for file in tmp_path.iterdir()} == {"a.txt": "one\nzwei"}
