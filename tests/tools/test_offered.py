"""What was not offered does not run, and reaches no client that has no tools."""

from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import ADD, Json
from tests.scripted import Answer, Called, Upstream
from tests.tools.calling_servers import client, mcp, server_at, things
from tests.tools.mcp_servers import Served, Toolset
from tests.tools.using import ask, calls, offered, only, read, stream

__all__ = ["client", "mcp", "things"]

DELETE = calls("things__delete", '{"name":"x"}')
CLOCK: Json = {"type": "function", "name": "clock", "parameters": {"type": "object"}, "strict": False}


@pytest.fixture
def server(mcp: Served) -> Json:
    return server_at(mcp)


def allowed(*tools: Json, mode: str = "auto") -> Json:
    return {"type": "allowed_tools", "mode": mode, "tools": list(tools)}


ALLOWS_ADD = allowed({"type": "mcp", "server_label": "things", "name": "add"})


@pytest.mark.parametrize("choice", ["none", ALLOWS_ADD], ids=["none", "another tool"])
@pytest.mark.parametrize("background", [False, True], ids=["", "in the background"])
def test_a_call_of_a_server_that_the_choice_rules_out_is_not_made(
    client: OpenAI, upstream: Upstream, things: Toolset, server: Json, choice: Any, background: bool
) -> None:
    upstream.script(DELETE, Answer("I must not."))

    answer = ask(client, server, tool_choice=choice, background=background)
    while answer["status"] in ("queued", "in_progress"):
        answer = client.responses.retrieve(answer["id"]).to_dict()

    assert things.called == []
    assert [item["type"] for item in answer["output"]] == ["mcp_list_tools", "message"]
    assert "no function 'things__delete'" in read(upstream)[-1]["content"]


def test_the_bare_name_of_a_tool_that_is_ruled_out_is_no_way_around(
    client: OpenAI, upstream: Upstream, things: Toolset, server: Json
) -> None:
    upstream.script(calls("delete", '{"name":"x"}'), Answer("I must not."))

    answer = ask(client, server, CLOCK, tool_choice=ALLOWS_ADD)

    assert things.called == []
    assert [item["type"] for item in answer["output"]] == ["mcp_list_tools", "message"]


def test_a_tool_of_a_server_that_was_not_searched_for_does_not_run(
    client: OpenAI, upstream: Upstream, things: Toolset, server: Json
) -> None:
    upstream.script(DELETE, Answer("I must look first."))

    answer = ask(client, server | {"defer_loading": True}, {"type": "tool_search"})

    assert things.called == []
    assert [item["type"] for item in answer["output"]] == ["mcp_list_tools", "message"]
    assert "You can call: tool_search." in read(upstream)[-1]["content"]


def test_a_function_that_was_not_searched_for_reaches_no_client(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("clock", "{}"), Answer("I must look first."))

    answer = ask(client, CLOCK | {"defer_loading": True}, {"type": "tool_search"})

    assert only(answer)["type"] == "message"


def test_a_function_of_the_client_that_is_not_allowed_is_not_called(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(calls("clock", "{}"), calls("add", '{"a":1,"b":2}'))

    answer = ask(client, CLOCK, ADD, tool_choice=allowed({"type": "function", "name": "add"}))

    assert only(answer)["name"] == "add"
    assert "You can call: add." in read(upstream)[-1]["content"]


def test_another_function_than_the_one_that_must_be_called_is_not_called(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(calls("clock", "{}"), calls("add", '{"a":1,"b":2}'))

    answer = ask(client, CLOCK, ADD, tool_choice={"type": "function", "name": "add"})

    assert only(answer)["name"] == "add"
    assert [request.body["tool_choice"]["function"]["name"] for request in upstream.requests] == ["add"] * 2


def test_a_name_that_the_model_made_up_is_the_agents_to_mend(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("clok", '{"a":1}'))

    call = only(ask(client, CLOCK))

    assert (call["type"], call["name"], call["arguments"]) == ("function_call", "clok", '{"a":1}')


def test_a_name_that_the_model_made_up_reaches_no_client_without_tools(
    client: OpenAI, upstream: Upstream, server: Json
) -> None:
    upstream.script(
        calls("clock", "{}"), Answer("I have none."), calls("clock", "{}"), Answer("I have none.")
    )

    assert only(ask(client))["type"] == "message"
    assert "Answer without calling functions" in read(upstream)[-1]["content"]
    assert [item["type"] for item in ask(client, server)["output"]] == ["mcp_list_tools", "message"]


@pytest.mark.parametrize("name", ["things.add now", "what?", "x" * 65, "é"])
def test_a_name_that_no_function_can_have_is_sent_back_as_one_that_it_can(
    client: OpenAI, upstream: Upstream, server: Json, name: str
) -> None:
    """The upstream refuses others, as OpenAI does, and the model could not mend its call."""
    upstream.script(calls(name, "{}"), Answer("I have none."))

    answer = ask(client, server)

    assert [item["type"] for item in answer["output"]] == ["mcp_list_tools", "message"]
    assert f"there is no function '{name}'" in read(upstream)[-1]["content"]


def test_a_call_that_is_not_made_does_not_keep_others_from_being_made(
    client: OpenAI, upstream: Upstream, things: Toolset, server: Json
) -> None:
    both = [Called("things__delete", '{"name":"x"}'), Called("things__add", '{"a":1,"b":2}')]
    upstream.script(Answer(calls=both), Answer("3"))

    answer = ask(client, server, tool_choice=ALLOWS_ADD)

    assert things.called == ["add"]
    assert [item.get("output") for item in answer["output"]] == [None, "3", None]
    assert [message["role"] for message in read(upstream)][-3:] == ["assistant", "tool", "tool"]


def test_a_model_that_goes_on_calling_what_is_not_there_fails_in_words(
    client: OpenAI, upstream: Upstream
) -> None:
    upstream.default = calls("clock", "{}")

    answer = ask(client)

    assert answer["status"] == "failed"
    assert "no function 'clock'" in answer["error"]["message"]
    assert len(upstream.requests) == 4


def test_what_was_found_is_offered_from_the_next_turn_on(client: OpenAI, upstream: Upstream) -> None:
    search = calls("tool_search", '{"paths":["clock"]}')
    upstream.script(search, calls("clock", "{}"))

    answer = ask(client, CLOCK | {"defer_loading": True}, {"type": "tool_search"})

    assert answer["output"][-1]["name"] == "clock"
    assert list(offered(upstream)) == ["tool_search", "clock"]


@pytest.mark.parametrize("streams", [False, True], ids=["", "streamed"])
@pytest.mark.parametrize("name", ["clock", "clok"], ids=["of the client", "made up"])
@pytest.mark.parametrize(
    "choice",
    ["none", allowed({"type": "function", "name": "add"}), {"type": "function", "name": "add"}],
    ids=["none", "another is allowed", "another is forced"],
)
def test_a_call_that_the_choice_rules_out_never_reaches_the_client(
    client: OpenAI, upstream: Upstream, choice: Any, name: str, streams: bool
) -> None:
    upstream.script(calls(name, "{}"), calls("add", "{}") if choice != "none" else Answer("Very well."))

    if streams:
        events = stream(client, CLOCK, ADD, tool_choice=choice)
        assert name not in str(events[3:-1])
        answer = events[-1]["response"]
    else:
        answer = ask(client, CLOCK, ADD, tool_choice=choice)

    assert only(answer).get("name") == ("add" if choice != "none" else None)
    assert f"no function '{name}' to call now" in read(upstream)[-1]["content"]


@pytest.mark.parametrize(
    ("tool", "call"),
    [
        ({"type": "custom", "name": "say"}, calls("say", '{"input":"x"}')),
        ({"type": "shell", "environment": {"type": "local"}}, calls("shell", '{"commands":["ls"]}')),
        ({"type": "local_shell"}, calls("local_shell", '{"command":["ls"]}')),
        ({"type": "apply_patch"}, calls("apply_patch", '{"type":"delete_file","path":"a"}')),
        ({"type": "computer"}, calls("computer", '{"actions":[{"type":"wait"}]}')),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
@pytest.mark.parametrize(
    "choice", ["none", allowed({"type": "function", "name": "add"})], ids=["none", "another is allowed"]
)
def test_no_tool_of_the_client_is_called_that_the_choice_rules_out(
    client: OpenAI, upstream: Upstream, tool: Json, call: Answer, choice: Any
) -> None:
    upstream.script(call, Answer("Very well."))

    answer = ask(client, tool, ADD, tool_choice=choice)

    assert only(answer)["type"] == "message"
    assert "This call was not made" in read(upstream)[-1]["content"]
