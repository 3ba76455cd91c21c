"""`namespace`: groups of functions and custom tools."""

from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import Json, refused, some_id
from tests.ledger import covers
from tests.scripted import Answer, Called, Upstream
from tests.tools.using import ask, calls, emitted, offered, only, read, stream

from antiphon.tools.names import offered_name

LIST: Json = {"type": "function", "name": "list", "description": "Lists.", "parameters": {"type": "object"}}
RUN: Json = {"type": "custom", "name": "run", "description": "Runs."}
AGENTS: Json = {"type": "namespace", "name": "agents", "description": "About agents.", "tools": [LIST, RUN]}


@covers("tool.namespace.name", "tool.namespace.tools")
@covers("tool.namespace")
def test_a_call_names_its_namespace_and_the_bare_function(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("agents__list", "{}"))

    assert only(ask(client, AGENTS)) == {
        "type": "function_call",
        "id": some_id("fc"),
        "call_id": "call_0",
        "name": "list",
        "namespace": "agents",
        "arguments": "{}",
        "status": "completed",
    }


def test_a_custom_tool_of_a_namespace_is_emitted_as_one(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("agents__run", '{"input": "x"}', 3))

    events = stream(client, AGENTS)

    assert emitted(events)[0] == "output_item.added"
    item = events[-2]["item"]
    assert (item["type"], item["namespace"], item["name"], item["input"]) == (
        "custom_tool_call",
        "agents",
        "run",
        "x",
    )


@covers("tool.namespace.description")
def test_what_the_namespace_is_for_is_said_once(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hi"))

    ask(client, AGENTS)

    told = {name: function["description"] for name, function in offered(upstream).items()}
    assert told == {
        "agents__list": "Lists.\n\nAbout the group 'agents': About agents.",
        "agents__run": "Runs.",
    }


def test_a_model_that_leaves_out_the_namespace_is_understood(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("list", "{}"))

    assert only(ask(client, AGENTS))["namespace"] == "agents"


def test_past_calls_read_under_the_names_that_are_offered(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(
        Answer(calls=[Called("agents__list"), Called("agents__run", '{"input":"x"}')]), Answer("ok")
    )
    first: Any = ask(client, AGENTS)["output"]
    outputs = [
        {"type": "function_call_output", "call_id": "call_0", "output": "a"},
        {"type": "custom_tool_call_output", "call_id": "call_1", "output": "b"},
    ]

    ask(client, AGENTS, given=[{"role": "user", "content": "Hi"}, *first, *outputs], store=False)

    said = [call["function"]["name"] for call in read(upstream)[1]["tool_calls"]]
    assert said == ["agents__list", "agents__run"]


@covers("error.namespace_missing")
@pytest.mark.parametrize("tools_in", ["tools", "input"])
def test_a_call_sent_back_without_its_namespace_is_refused(
    client: OpenAI, upstream: Upstream, tools_in: str
) -> None:
    given: list[Json] = [
        {"role": "user", "content": "Hi"},
        {"type": "function_call", "call_id": "c", "name": "list", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": ""},
    ]
    if tools_in == "input":
        given = [*given, {"type": "additional_tools", "role": "developer", "tools": [AGENTS]}]
    tools = [AGENTS] if tools_in == "tools" else []

    with refused(400, None, "input[1].namespace") as refusal:
        ask(client, *tools, given=given)
    assert "Missing namespace for function_call 'list'" in refusal.message


def test_a_call_of_a_function_outside_of_namespaces_needs_none(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("ok"))
    given = [
        {"type": "function_call", "call_id": "c", "name": "list", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": ""},
    ]

    ask(client, AGENTS, LIST, given=given)


@covers("item.input.additional_tools")
def test_tools_that_come_in_the_input_may_have_namespaces(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("agents__run", '{"input": "x"}'))
    given = [
        {"type": "additional_tools", "role": "developer", "tools": [AGENTS]},
        {"role": "user", "content": "Hi"},
    ]

    assert only(ask(client, given=given, store=False))["namespace"] == "agents"


def test_tools_that_come_in_the_input_may_come_again(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("ok"), Answer("ok"))
    tools: Any = {"type": "additional_tools", "role": "developer", "tools": [AGENTS]}
    first = client.responses.create(model="m", input=[tools, {"role": "user", "content": "Hi"}])

    client.responses.create(model="m", input=[tools], previous_response_id=first.id)

    assert list(offered(upstream)) == ["agents__list", "agents__run"]


def test_names_that_clash_are_refused(client: OpenAI) -> None:
    with refused(400, None, "tools[1]"):
        ask(client, AGENTS, LIST | {"name": "agents__list"})
    with refused(400, None, "tools[1]"):
        ask(client, AGENTS, AGENTS)


def test_a_fault_in_a_member_names_its_place(client: OpenAI) -> None:
    broken = RUN | {"format": {"type": "grammar", "syntax": "regex", "definition": "("}}
    with refused(400, "invalid_value", "tools[0].tools[1].format.definition"):
        ask(client, AGENTS | {"tools": [LIST, broken]})


@covers("tool_choice.allowed_tools")
def test_a_namespace_can_be_all_that_is_allowed(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("ok"), Answer("ok"))
    other = LIST | {"name": "other"}

    for named in ({"type": "namespace", "name": "agents"}, {"type": "function", "name": "list"}):
        ask(client, AGENTS, other, tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [named]})

    assert [list(offered(upstream, which)) for which in (-2, -1)] == [
        ["agents__list", "agents__run"],
        ["agents__list"],
    ]


def test_a_function_of_a_namespace_can_be_forced(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("agents__list", "{}"))

    ask(client, AGENTS, tool_choice={"type": "function", "name": "list"})

    assert upstream.last.body["tool_choice"]["function"] == {"name": "agents__list"}


# ---- names ------------------------------------------------------------------------------------------


def test_long_names_are_shortened_to_what_upstreams_take(client: OpenAI, upstream: Upstream) -> None:
    long = [LIST | {"name": "f" * 127 + end} for end in "ab"]
    name = offered_name(long[1]["name"], "n" * 100)
    upstream.script(calls(name, "{}"))

    item = only(ask(client, AGENTS | {"name": "n" * 100, "tools": long}))

    assert (item["namespace"], item["name"]) == ("n" * 100, "f" * 127 + "b")
    assert all(len(name) == 64 for name in offered(upstream))


def test_an_offered_name_follows_from_name_and_namespace_alone() -> None:
    assert offered_name("f") == "f"
    assert offered_name("f", "n") == "n__f"
    assert offered_name("f", "f") == "f"
    assert offered_name("f" * 64) == "f" * 64
    assert offered_name("f" * 65) == offered_name("f" * 65) != offered_name("f" * 66)
    assert len(offered_name("f" * 65)) == 64
