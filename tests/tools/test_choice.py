"""`tool_choice`, over tools of all types."""

import pytest
from openai import OpenAI
from tests.api.asking import CLOCK, Json, refused
from tests.ledger import covers
from tests.scripted import Answer, Called, Upstream
from tests.tools.using import ask, offered

NOTE: Json = {"type": "custom", "name": "note"}
GROUP: Json = {
    "type": "namespace",
    "name": "n",
    "description": "d",
    "tools": [CLOCK, NOTE | {"name": "memo"}],
}
TOOLS: list[Json] = [
    CLOCK,
    NOTE,
    GROUP,
    {"type": "apply_patch"},
    {"type": "shell"},
    {"type": "local_shell"},
    {"type": "computer"},
]
ARGUMENTS = {
    "note": '{"input": "x"}',
    "n__memo": '{"input": "x"}',
    "apply_patch": '{"type": "delete_file", "path": "a"}',
    "local_shell": '{"command": ["ls"]}',
}
"""What a valid call has, of functions that need something."""
ALL = ["clock", "note", "n__clock", "n__memo", "apply_patch", "shell", "local_shell", "computer"]


@covers("tool_choice.allowed_tools")
@pytest.mark.parametrize("mode", ["auto", "required"])
@pytest.mark.parametrize(
    ("allowed", "names"),
    [
        ([{"type": "function", "name": "clock"}], ["clock"]),
        ([{"type": "custom", "name": "note"}], ["note"]),
        ([{"type": "custom", "name": "memo"}], ["n__memo"]),
        ([{"type": "namespace", "name": "n"}], ["n__clock", "n__memo"]),
        ([{"type": "shell"}, {"type": "apply_patch"}], ["apply_patch", "shell"]),
        ([{"type": "local_shell"}, {"type": "computer_use"}], ["local_shell", "computer"]),
    ],
    ids=lambda value: value[0]["type"] if isinstance(value[0], dict) else "",
)
def test_only_what_is_allowed_is_offered(
    client: OpenAI, upstream: Upstream, mode: str, allowed: list[Json], names: list[str]
) -> None:
    call = Called(names[0], ARGUMENTS.get(names[0], "{}"))
    upstream.script(Answer("ok", calls=[call] if mode == "required" else []))

    answer = ask(client, *TOOLS, tool_choice={"type": "allowed_tools", "mode": mode, "tools": allowed})

    assert list(offered(upstream)) == names
    assert upstream.last.body.get("tool_choice", "auto") == mode
    assert answer["tool_choice"]["tools"] == allowed


@covers("tool_choice.none", "tool_choice.auto", "tool_choice.required")
@pytest.mark.parametrize("choice", ["none", "auto", "required"])
def test_all_are_offered_otherwise(client: OpenAI, upstream: Upstream, choice: str) -> None:
    upstream.script(Answer("ok", calls=[Called("clock")] if choice == "required" else []))

    ask(client, *TOOLS, tool_choice=choice)

    assert list(offered(upstream)) == ALL
    assert upstream.last.body.get("tool_choice", "auto") == choice


ABSENT: list[Json] = [
    {"type": "function", "name": "note"},
    {"type": "custom", "name": "clock"},
    {"type": "mcp", "server_label": "clock"},
    {"type": "file_search"},
    {"type": "programmatic_tool_calling"},
]


@pytest.mark.parametrize("choice", ABSENT, ids=lambda choice: choice["type"])
def test_a_tool_that_is_not_there_cannot_be_chosen(client: OpenAI, upstream: Upstream, choice: Json) -> None:
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "namespace", "name": "x"}]}
    for chosen in (choice, allowed, allowed | {"tools": [choice]}):
        with refused(400, None, "tool_choice"):
            ask(client, *TOOLS, tool_choice=chosen)
    assert upstream.requests == []


def test_a_name_that_several_namespaces_have_is_no_choice(client: OpenAI) -> None:
    with refused(400, None, "tool_choice"):
        ask(client, GROUP, GROUP | {"name": "m"}, tool_choice={"type": "function", "name": "clock"})
