"""`parallel_tool_calls: false`: whatever the model does, a turn has one call at most."""

from collections.abc import Callable
from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import ADD, Json, whole
from tests.ledger import covers
from tests.scripted import Answer, Called, Upstream
from tests.tools.calling_servers import client, mcp, things
from tests.tools.mcp_servers import Toolset
from tests.tools.test_offered import server
from tests.tools.using import ask, read, stream

__all__ = ["client", "mcp", "server", "things"]

ONE = Called("add", '{"a":1,"b":2}', "one")
TWO = Called("add", '{"a":3,"b":4}', "two")
OURS = Called("things__add", '{"a":1,"b":2}', "ours")
SAY: Json = {"type": "custom", "name": "say"}
PATCH: Json = {"type": "apply_patch"}


def asked(client: OpenAI, *tools: Json, **members: Any) -> Json:
    return ask(client, *tools, parallel_tool_calls=False, **members)


def streamed(client: OpenAI, *tools: Json) -> Json:
    events = stream(client, *tools, parallel_tool_calls=False)
    answer: Json = events[-1]["response"]
    added = [event["item"]["id"] for event in events if event["type"] == "response.output_item.added"]
    assert added == [item["id"] for item in answer["output"]]
    return answer


def in_background(client: OpenAI, *tools: Json) -> Json:
    answer = asked(client, *tools, background=True)
    while answer["status"] in ("queued", "in_progress"):
        answer = whole(client.responses.retrieve(answer["id"]))
    return answer


WAYS: dict[str, Callable[..., Json]] = {"plain": asked, "streamed": streamed, "background": in_background}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Callable[..., Json]:
    return WAYS[request.param]


@covers("param.parallel_tool_calls")
@pytest.mark.parametrize("size", [0, 3])
def test_of_several_calls_the_first_reaches_the_client(
    way: Callable[..., Json], size: int, client: OpenAI, upstream: Upstream
) -> None:
    upstream.script(Answer("Let me see.", calls=[ONE, TWO, TWO], size=size))

    answer = way(client, ADD)

    assert [item["type"] for item in answer["output"]] == ["message", "function_call"]
    assert (answer["output"][1]["arguments"], answer["status"]) == (ONE.arguments, "completed")
    assert len(upstream.requests) == 1


def test_calls_of_all_kinds_count(way: Callable[..., Json], client: OpenAI, upstream: Upstream) -> None:
    patch = Called("apply_patch", '{"type":"delete_file","path":"a"}', "patch")
    upstream.script(Answer(calls=[Called("say", '{"input":"x"}', "say"), patch, ONE]))

    answer = way(client, SAY, PATCH, ADD)

    assert [item["type"] for item in answer["output"]] == ["custom_tool_call"]


def test_strict_calls_count(way: Callable[..., Json], client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[ONE, TWO]))
    answer = way(client, ADD | {"strict": True})
    assert [item["call_id"] for item in answer["output"]] == ["one"]


def test_the_next_turn_knows_of_one_call(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[ONE, TWO]), Answer("3"))
    first = asked(client, ADD)
    output = {"type": "function_call_output", "call_id": "one", "output": "3"}

    asked(client, ADD, given=[output], previous_response_id=first["id"])

    assert [len(message.get("tool_calls", ())) for message in read(upstream)] == [0, 1, 0]


def test_a_call_of_a_server_and_one_of_the_client_are_made_one_after_the_other(
    way: Callable[..., Json], client: OpenAI, upstream: Upstream, things: Toolset, server: Json
) -> None:
    upstream.script(Answer(calls=[OURS, ONE]), Answer(calls=[ONE]))

    answer = way(client, server, ADD)

    assert things.called == ["add"]
    assert [item["type"] for item in answer["output"]] == ["mcp_list_tools", "mcp_call", "function_call"]
    results = {m["tool_call_id"]: m["content"] for m in read(upstream) if m["role"] == "tool"}
    assert results["ours"] == "3"
    assert "only one function may be called at a time" in results["one"]


def test_a_call_of_a_server_behind_one_of_the_client_is_not_made(
    way: Callable[..., Json], client: OpenAI, upstream: Upstream, things: Toolset, server: Json
) -> None:
    upstream.script(Answer(calls=[ONE, OURS]))

    answer = way(client, server, ADD)

    assert things.called == []
    assert [item["type"] for item in answer["output"]] == ["mcp_list_tools", "function_call"]


def test_calls_of_a_server_are_made_one_a_turn(
    way: Callable[..., Json], client: OpenAI, upstream: Upstream, things: Toolset, server: Json
) -> None:
    again = replace_id(OURS, "again")
    upstream.script(Answer(calls=[OURS, again]), Answer(calls=[again]), Answer("3 and 3"))

    answer = way(client, server)

    assert things.called == ["add", "add"]
    kinds = [item["type"] for item in answer["output"]]
    assert kinds == ["mcp_list_tools", "mcp_call", "mcp_call", "message"]


def replace_id(call: Called, call_id: str) -> Called:
    return Called(call.name, call.arguments, call_id)


def test_several_calls_are_several_when_nobody_minds(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[ONE, TWO]))
    assert len(ask(client, ADD, parallel_tool_calls=True)["output"]) == 2
