"""`computer` and `computer_use_preview`: actions on a screen."""

import json
from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import Json, Like, refused, some_id
from tests.ledger import covers
from tests.papers import picture_url
from tests.scripted import Answer, Upstream
from tests.tools.using import ask, calls, emitted, offered, only, read, stream

COMPUTER: Json = {"type": "computer"}
PREVIEW: Json = {
    "type": "computer_use_preview",
    "display_width": 1024,
    "display_height": 768,
    "environment": "browser",
}
ACTIONS: list[Json] = [
    {"type": "click", "button": "left", "x": 1, "y": 2},
    {"type": "click", "button": "right", "x": 1, "y": 2, "keys": ["CTRL"]},
    {"type": "double_click", "x": 1, "y": 2},
    {"type": "drag", "path": [{"x": 1, "y": 2}, {"x": 3, "y": 4}]},
    {"type": "keypress", "keys": ["CTRL", "A"]},
    {"type": "move", "x": 1, "y": 2},
    {"type": "screenshot"},
    {"type": "scroll", "x": 1, "y": 2, "scroll_x": 0, "scroll_y": -100},
    {"type": "type", "text": "é 😀"},
    {"type": "wait"},
]
SHOT = picture_url()


def arguments(*actions: Json) -> str:
    return json.dumps({"actions": actions})


@covers("tool.computer", "item.output.computer_call")
def test_actions_come_in_a_batch(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("computer", arguments(*ACTIONS), 10))

    events = stream(client, COMPUTER)

    assert emitted(events) == ["output_item.added", "output_item.done"]
    assert events[3]["item"] == {
        "type": "computer_call",
        "id": some_id("cu"),
        "call_id": "call_0",
        "actions": ACTIONS,
        "pending_safety_checks": [],
        "status": "completed",
    }


@covers(
    "tool.computer_use_preview.display_width",
    "tool.computer_use_preview.display_height",
    "tool.computer_use_preview.environment",
)
@covers("tool.computer_use_preview")
@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action["type"])
def test_the_preview_has_one_action_a_call(client: OpenAI, upstream: Upstream, action: Json) -> None:
    upstream.script(calls("computer", arguments(action)))

    item = only(ask(client, PREVIEW))

    assert item["action"] == action
    assert "actions" not in item
    assert "1024 x 768 pixels. The environment is: browser" in offered(upstream)["computer"]["description"]


def test_members_of_other_actions_are_left_out(client: OpenAI, upstream: Upstream) -> None:
    wait = {"type": "wait", "x": 0, "y": 0, "text": None, "keys": None, "path": []}
    upstream.script(calls("computer", arguments(wait, {"type": "move", "x": 3.0, "y": "4"})))

    assert only(ask(client, COMPUTER))["actions"] == [{"type": "wait"}, {"type": "move", "x": 3, "y": 4}]


@pytest.mark.parametrize(
    "wrong",
    [
        "{}",
        arguments(),
        arguments({"type": "smash"}),
        arguments({"type": "click", "x": 1, "y": 2}),
        arguments({"type": "move", "x": 1.5, "y": 2}),
        arguments({"type": "keypress", "keys": "A"}),
        '{"actions": ["click"]}',
        "click",
    ],
)
def test_what_is_no_action_is_asked_for_again(client: OpenAI, upstream: Upstream, wrong: str) -> None:
    upstream.script(calls("computer", wrong), calls("computer", arguments(ACTIONS[0])))

    assert only(ask(client, COMPUTER))["actions"] == [ACTIONS[0]]
    assert read(upstream)[-1]["content"] == Like(".+")


def test_two_actions_at_once_are_none_for_the_preview(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("computer", arguments(*ACTIONS)), calls("computer", arguments(ACTIONS[0])))

    assert only(ask(client, PREVIEW))["action"] == ACTIONS[0]


@covers("item.input.computer_call_output")
def test_the_screenshot_comes_back_as_an_image(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("computer", arguments(ACTIONS[0])), Answer("I see."))
    first = client.responses.create(model="m", input="Hi", tools=[COMPUTER])  # type: ignore[list-item]
    output: Any = {
        "type": "computer_call_output",
        "call_id": "call_0",
        "output": {"type": "computer_screenshot", "image_url": SHOT},
        "acknowledged_safety_checks": [],
    }

    client.responses.create(model="m", input=[output], previous_response_id=first.id)

    said = [message["content"] for message in read(upstream) if isinstance(message["content"], list)]
    assert [part["image_url"]["url"] for parts in said for part in parts if "image_url" in part] == [SHOT]


@covers("tool_choice.computer", "tool_choice.computer_use", "tool_choice.computer_use_preview")
@pytest.mark.parametrize("kind", ["computer", "computer_use", "computer_use_preview"])
@pytest.mark.parametrize("tool", [COMPUTER, PREVIEW], ids=lambda tool: tool["type"])
def test_the_computer_can_be_forced(client: OpenAI, upstream: Upstream, tool: Json, kind: str) -> None:
    upstream.script(calls("computer", arguments(ACTIONS[0])))

    ask(client, tool, tool_choice={"type": kind})

    assert upstream.last.body["tool_choice"]["function"] == {"name": "computer"}


def test_there_is_one_computer(client: OpenAI) -> None:
    with refused(400, None, "tools[1]"):
        ask(client, COMPUTER, PREVIEW)
