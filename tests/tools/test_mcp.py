"""`mcp`: tools of MCP servers, listed and called by us."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json, refused, some_id
from tests.conftest import Running, checked_client, config_for
from tests.ledger import covers
from tests.scripted import Answer, Called, Upstream
from tests.tools.calling_servers import server_at
from tests.tools.mcp_servers import PIXEL, Served, Toolset, served
from tests.tools.using import ask, calls, emitted, offered, read, stream

from antiphon.config import Connector, Outbound


@pytest.fixture(scope="module")
def things() -> Toolset:
    return Toolset()


@pytest.fixture(scope="module")
def mcp(things: Toolset) -> Iterator[Served]:
    with served(things.server()) as running:
        yield running


@pytest.fixture(scope="module")
def client(_upstream: Upstream, mcp: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    config = replace(
        config_for(_upstream, tmp_path_factory.mktemp("data")),
        outbound=Outbound(allow_private=True),
        connectors={"connector_gmail": Connector(url=f"{mcp.url}/mcp", headers={"x-from": "operator"})},
    )
    with Running(config) as running, checked_client(running.url) as client:
        yield client


@pytest.fixture
def tool(mcp: Served) -> Json:
    return server_at(mcp)


ADD = calls("things__add", '{"a":1,"b":2}', 4)


@covers("tool.mcp.server_label", "tool.mcp.server_url")
@covers(
    "tool.mcp",
    "item.output.mcp_list_tools",
    "item.output.mcp_call",
    "event.response.mcp_list_tools.in_progress",
    "event.response.mcp_list_tools.completed",
    "event.response.mcp_call.in_progress",
    "event.response.mcp_call_arguments.delta",
    "event.response.mcp_call_arguments.done",
    "event.response.mcp_call.completed",
)
def test_a_call_is_made_and_the_model_goes_on(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(ADD, Answer("3"))

    events = stream(client, tool)

    assert emitted(events)[:4] == [
        "output_item.added",
        "mcp_list_tools.in_progress",
        "mcp_list_tools.completed",
        "output_item.done",
    ]
    assert emitted(events)[4:14] == [
        "output_item.added",
        "mcp_call.in_progress",
        *["mcp_call_arguments.delta"] * 4,
        "mcp_call_arguments.done",
        "mcp_call.completed",
        "output_item.done",
        "output_item.added",
    ]
    listing, call, message = events[-1]["response"]["output"]
    assert [each["name"] for each in listing["tools"]][:3] == ["add", "delete", "fail"]
    annotations = {each["name"]: each["annotations"] for each in listing["tools"]}
    assert (annotations["add"], annotations["delete"]) == ({"read_only": True}, {"read_only": False})
    assert call == {
        "type": "mcp_call",
        "id": some_id("mcp"),
        "server_label": "things",
        "name": "add",
        "arguments": '{"a":1,"b":2}',
        "approval_request_id": None,
        "output": "3",
        "error": None,
        "status": "completed",
    }
    assert message["content"][0]["text"] == "3"
    assert read(upstream)[-1]["content"] == "3"


def test_a_listing_that_the_context_holds_is_not_asked_for_again(
    client: OpenAI, upstream: Upstream, tool: Json
) -> None:
    upstream.script(Answer("Hi"), ADD, Answer("3"))
    first = ask(client, tool)

    second = ask(client, tool, previous_response_id=first["id"])

    assert [item["type"] for item in first["output"]] == ["mcp_list_tools", "message"]
    assert [item["type"] for item in second["output"]] == ["mcp_call", "message"]


@covers("tool.mcp.allowed_tools", "tool.mcp.allowed_tools.read_only", "tool.mcp.allowed_tools.tool_names")
def test_only_tools_that_are_allowed_are_listed_and_offered(
    client: OpenAI, upstream: Upstream, mcp: Served
) -> None:
    for allowed, expected in (
        (["delete", "absent"], ["things__delete"]),
        ({"read_only": True}, ["things__add"]),
        ({"tool_names": ["add", "delete"], "read_only": False}, ["things__delete"]),
        ([], []),
    ):
        upstream.script(Answer("Hi"))
        answer = ask(client, server_at(mcp, allowed_tools=allowed))
        assert list(offered(upstream)) == expected
        assert [f"things__{each['name']}" for each in answer["output"][0]["tools"]] == expected


def test_two_servers_have_tools_of_the_same_names(client: OpenAI, upstream: Upstream, mcp: Served) -> None:
    upstream.script(
        Answer(calls=[Called("things__add", '{"a":1,"b":2}'), Called("other__add", '{"a":3,"b":4}')]),
        Answer("ok"),
    )

    events = stream(client, server_at(mcp), server_at(mcp, server_label="other"))

    assert emitted(events)[:4] == ["output_item.added", "mcp_list_tools.in_progress"] * 2
    output = events[-1]["response"]["output"]
    assert [(item["type"], item.get("server_label"), item.get("output")) for item in output[:4]] == [
        ("mcp_list_tools", "things", None),
        ("mcp_list_tools", "other", None),
        ("mcp_call", "things", "3"),
        ("mcp_call", "other", "7"),
    ]
    assert [message["content"] for message in read(upstream)[-2:]] == ["3", "7"]


def test_a_past_call_reads_as_the_model_made_it(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(ADD, Answer("3"), Answer("Yes"))
    first = ask(client, tool)

    ask(client, given="Sure?", previous_response_id=first["id"])

    (call,) = read(upstream)[1]["tool_calls"]
    assert call["function"] == {"name": "things__add", "arguments": '{"a":1,"b":2}'}
    assert (read(upstream)[2]["tool_call_id"], read(upstream)[2]["content"]) == (call["id"], "3")


@pytest.mark.parametrize("again", [False, True], ids=["at once", "in a later turn"])
def test_images_reach_the_model(client: OpenAI, upstream: Upstream, tool: Json, again: bool) -> None:
    upstream.script(calls("things__picture", "{}"), Answer("A dot"), Answer("Yes"))
    first = ask(client, tool)
    if again:
        ask(client, given="Sure?", previous_response_id=first["id"])

    parts = [part for m in read(upstream) if isinstance(m["content"], list) for part in m["content"]]

    assert {"url": f"data:image/png;base64,{PIXEL}"} in [part.get("image_url") for part in parts]
    assert [block["type"] for block in json.loads(first["output"][1]["output"])] == ["text", "image"]


def test_embedded_resources_reach_the_model(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(calls("things__document", "{}"), Answer("ok"))

    ask(client, tool)

    assert read(upstream)[-1]["content"] == "The text."


@covers("event.response.mcp_call.failed")
def test_a_tool_that_fails_reports_to_the_model_why(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(calls("things__fail", "{}"), Answer("Sorry"))

    events = stream(client, tool)

    call = events[-1]["response"]["output"][1]
    assert "mcp_call.failed" in emitted(events)
    assert (call["status"], call["output"], call["error"]["type"]) == (
        "failed",
        None,
        "mcp_tool_execution_error",
    )
    assert "out of order" in call["error"]["content"][0]["text"]
    assert "out of order" in read(upstream)[-1]["content"]


def test_arguments_that_are_no_json_fail_the_call(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(calls("things__add", '{"a":'), Answer("Sorry"))

    answer = ask(client, tool)

    assert answer["output"][1]["error"]["code"] == -32602
    assert answer["status"] == "completed"


# ---- choices ----------------------------------------------------------------------------------------


@covers("tool_choice.mcp")
def test_a_tool_of_a_server_can_be_chosen(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(ADD, Answer("3"))

    ask(client, tool, tool_choice={"type": "mcp", "server_label": "things", "name": "add"})

    first, second = upstream.requests
    assert first.body["tool_choice"] == {"type": "function", "function": {"name": "things__add"}}
    assert second.body.get("tool_choice", "auto") == "auto"


def test_any_tool_of_a_server_can_be_chosen(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(ADD, Answer("3"))
    clock = {"type": "function", "name": "clock", "parameters": {"type": "object"}, "strict": False}

    ask(client, clock, tool, tool_choice={"type": "mcp", "server_label": "things"})

    assert upstream.requests[0].body["tool_choice"] == "required"
    assert "clock" not in offered(upstream, 0)


def test_allowed_tools_name_servers(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    upstream.script(Answer("Hi"))
    allowed = {"type": "mcp", "server_label": "things", "name": "delete"}

    ask(client, tool, tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [allowed]})

    assert list(offered(upstream)) == ["things__delete"]


def test_a_server_that_is_not_there_cannot_be_chosen(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    with refused(400, None, "tool_choice"):
        ask(client, tool, tool_choice={"type": "mcp", "server_label": "absent"})
    assert upstream.requests == []


# ---- consent ----------------------------------------------------------------------------------------

DELETE = calls("things__delete", '{"name":"x"}')


@covers("item.output.mcp_approval_request")
def test_a_call_that_needs_consent_ends_the_response(
    client: OpenAI, upstream: Upstream, things: Toolset, mcp: Served
) -> None:
    things.called.clear()
    upstream.script(DELETE)

    events = stream(client, server_at(mcp, require_approval="always"))

    assert emitted(events)[4:] == ["output_item.added", "output_item.done"]
    assert events[-1]["response"]["output"][1] == {
        "type": "mcp_approval_request",
        "id": some_id("mcpr"),
        "server_label": "things",
        "name": "delete",
        "arguments": '{"name":"x"}',
    }
    assert things.called == []


def consent(request: Json, approve: bool = True, **members: Any) -> Json:
    return {
        "type": "mcp_approval_response",
        "approval_request_id": request["id"],
        "approve": approve,
        **members,
    }


@pytest.mark.parametrize("stateless", [False, True], ids=["in a chain", "with the whole context"])
def test_what_was_approved_is_done_first(
    client: OpenAI, upstream: Upstream, things: Toolset, mcp: Served, stateless: bool
) -> None:
    things.called.clear()
    upstream.script(DELETE, Answer("Done"))
    tool = server_at(mcp, require_approval="always")
    first = ask(client, tool)
    answer = consent(first["output"][1])
    user = {"role": "user", "content": "Hi"}
    given = [user, *first["output"], answer] if stateless else [answer]
    chain = {} if stateless else {"previous_response_id": first["id"]}

    second = ask(client, tool, given=given, **chain)

    call, message = second["output"]
    assert (call["output"], call["approval_request_id"]) == ("x is gone", first["output"][1]["id"])
    assert message["content"][0]["text"] == "Done"
    assert things.called == ["delete x"]
    assert [m["role"] for m in read(upstream)] == ["user", "assistant", "tool"]
    assert read(upstream)[-1]["content"] == "x is gone"


@covers("param.prompt_cache_options.prewarm")
def test_a_call_is_not_approved_where_a_prompt_is_only_read(
    client: OpenAI, upstream: Upstream, things: Toolset, mcp: Served
) -> None:
    things.called.clear()
    upstream.script(DELETE)
    tool = server_at(mcp, require_approval="always")
    first = ask(client, tool)
    options = {"prompt_cache_options": {"prewarm": True}}

    with refused(400, "unsupported_parameter", "prompt_cache_options.prewarm") as refusal:
        ask(
            client,
            tool,
            given=[consent(first["output"][1])],
            previous_response_id=first["id"],
            extra_body=options,
        )

    assert "approves" in refusal.message
    assert things.called == []


def test_an_approved_call_is_made_once(
    client: OpenAI, upstream: Upstream, things: Toolset, mcp: Served
) -> None:
    things.called.clear()
    upstream.script(DELETE, Answer("Done"), Answer("Bye"))
    tool = server_at(mcp, require_approval="always")
    first = ask(client, tool)
    second = ask(client, tool, given=[consent(first["output"][1])], previous_response_id=first["id"])

    third = ask(client, tool, given="Bye", previous_response_id=second["id"])

    assert [item["type"] for item in third["output"]] == ["message"]
    assert things.called == ["delete x"]
    assert [m["role"] for m in read(upstream)] == ["user", "assistant", "tool", "assistant", "user"]


def test_several_calls_are_answered_at_once_and_a_denial_is_reported(
    client: OpenAI, upstream: Upstream, things: Toolset, mcp: Served
) -> None:
    things.called.clear()
    both = [Called("things__delete", '{"name":"x"}'), Called("things__delete", '{"name":"y"}')]
    upstream.script(Answer(calls=both), Answer("Done"))
    tool = server_at(mcp, require_approval="always")
    first = ask(client, tool)
    _, one, two = first["output"]

    given = [consent(one, False, reason="too dear"), consent(two)]
    second = ask(client, tool, given=given, previous_response_id=first["id"])

    assert [item.get("output") for item in second["output"]] == ["y is gone", None]
    assert things.called == ["delete y"]
    results = [m["content"] for m in read(upstream) if m["role"] == "tool"]
    assert results == ["The user did not approve this call: too dear", "y is gone"]


@covers(
    "tool.mcp.require_approval",
    "tool.mcp.require_approval.always",
    "tool.mcp.require_approval.always.read_only",
    "tool.mcp.require_approval.always.tool_names",
    "tool.mcp.require_approval.never",
    "tool.mcp.require_approval.never.read_only",
    "tool.mcp.require_approval.never.tool_names",
)
@pytest.mark.parametrize(
    ("wanted", "asked"),
    [
        (None, True),
        ("always", True),
        ("never", False),
        ({"never": {"tool_names": ["delete"]}}, False),
        ({"never": {"tool_names": ["add"]}}, True),
        ({"never": {"read_only": True}}, True),
        ({"always": {"tool_names": ["delete"]}}, True),
        ({"always": {"tool_names": ["add"]}}, False),
        ({"always": {"read_only": False}, "never": {"read_only": True}}, True),
    ],
)
def test_which_calls_need_consent(
    client: OpenAI, upstream: Upstream, mcp: Served, wanted: Any, asked: bool
) -> None:
    upstream.script(DELETE, Answer("Done"))

    answer = ask(client, server_at(mcp, require_approval=wanted))

    assert answer["output"][1]["type"] == ("mcp_approval_request" if asked else "mcp_call")


def test_consent_to_what_was_not_asked_is_refused(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    with refused(400, None, "input[0]"):
        ask(client, tool, given=[consent({"id": "mcpr_none"})])
    assert upstream.requests == []


def test_consent_without_the_server_is_refused(client: OpenAI, upstream: Upstream, mcp: Served) -> None:
    upstream.script(DELETE)
    first = ask(client, server_at(mcp, require_approval="always"))
    with refused(400, None, "input[0]"):
        ask(client, given=[consent(first["output"][1])], previous_response_id=first["id"])


# ---- addresses and secrets ----------------------------------------------------------------------------


@covers("tool.mcp.authorization", "tool.mcp.headers")
def test_secrets_reach_the_server_and_nobody_else(
    client: OpenAI, upstream: Upstream, things: Toolset, mcp: Served
) -> None:
    things.headers.clear()
    upstream.script(ADD, Answer("3"))

    answer = ask(client, server_at(mcp, authorization="tok-1", headers={"X-Key": "key-1"}))

    assert (things.headers[0]["authorization"], things.headers[0]["x-key"]) == ("Bearer tok-1", "key-1")
    assert (answer["tools"][0]["authorization"], answer["tools"][0]["headers"]) == (
        "<redacted>",
        {"X-Key": "<redacted>"},
    )
    stored = client.responses.retrieve(answer["id"]).to_json()
    sent = json.dumps([request.body for request in upstream.requests])
    assert not any(secret in text for secret in ("tok-1", "key-1") for text in (stored, sent))


@covers("tool.mcp.connector_id")
def test_a_connector_is_where_the_operator_says(client: OpenAI, upstream: Upstream, things: Toolset) -> None:
    things.headers.clear()
    upstream.script(calls("mail__add", '{"a":1,"b":2}'), Answer("3"))
    mail = {"type": "mcp", "server_label": "mail", "connector_id": "connector_gmail", "authorization": "t"}

    answer = ask(client, mail | {"require_approval": "never"})

    assert answer["output"][1]["output"] == "3"
    assert (things.headers[0]["authorization"], things.headers[0]["x-from"]) == ("Bearer t", "operator")


@covers("tool.mcp.tunnel_id")
@pytest.mark.parametrize(
    ("address", "param"),
    [
        ({}, "tools[0]"),
        ({"server_url": "https://a.b", "connector_id": "connector_gmail"}, "tools[0]"),
        ({"connector_id": "connector_dropbox"}, "tools[0].connector_id"),
        ({"tunnel_id": "tunnel_" + "a" * 32}, "tools[0].tunnel_id"),
        ({"server_url": "ftp://a.b"}, "tools[0].server_url"),
        ({"server_url": "https://user:word@a.b"}, "tools[0].server_url"),
        ({"server_url": "https://a.b", "headers": {"X": "a\r\nb"}}, "tools[0].headers"),
        (
            {"server_url": "https://a.b", "headers": {"authorization": "a"}, "authorization": "b"},
            "tools[0].authorization",
        ),
    ],
)
def test_an_address_that_is_none_is_refused(
    client: OpenAI, upstream: Upstream, address: Json, param: str
) -> None:
    code = "unsupported_value" if "tunnel_id" in address else None
    with refused(400, code, param):
        ask(client, {"type": "mcp", "server_label": "s", **address})
    assert upstream.requests == []


def test_two_servers_of_one_label_are_refused(client: OpenAI, tool: Json) -> None:
    with refused(400, None, "tools[1]"):
        ask(client, tool, tool)


# ---- tools that must be searched for --------------------------------------------------------------------


@covers("tool.mcp.defer_loading", "tool.mcp.server_description")
def test_tools_of_a_server_can_be_searched_for(client: OpenAI, upstream: Upstream, mcp: Served) -> None:
    search = calls("tool_search", '{"paths":["things.add"]}')
    upstream.script(search, ADD, Answer("3"), ADD, Answer("3"))
    tools = (server_at(mcp, defer_loading=True, server_description="Sums"), {"type": "tool_search"})

    first = ask(client, *tools)
    ask(client, *tools, given="Again", previous_response_id=first["id"])

    assert list(offered(upstream, 0)) == ["tool_search"]
    assert "- things.add: Adds two numbers." in offered(upstream, 0)["tool_search"]["description"]
    assert list(offered(upstream, 1)) == list(offered(upstream, 3)) == ["tool_search", "things__add"]
    assert [item["type"] for item in first["output"]] == [
        "mcp_list_tools",
        "tool_search_call",
        "tool_search_output",
        "mcp_call",
        "message",
    ]
    (found,) = first["output"][2]["tools"]
    assert (found["server_label"], found["allowed_tools"]) == ("things", ["add"])


def test_a_limit_of_calls_counts_those_of_servers(client: OpenAI, upstream: Upstream, tool: Json) -> None:
    add = Called("things__add", '{"a":1,"b":2}')
    upstream.script(Answer(calls=[add, add]), Answer("3"))

    answer = ask(client, tool, max_tool_calls=1)

    assert [item["type"] for item in answer["output"]] == ["mcp_list_tools", "mcp_call", "message"]


def test_calls_of_servers_and_of_the_client_stand_in_one_turn(
    client: OpenAI, upstream: Upstream, tool: Json
) -> None:
    clock = {"type": "function", "name": "clock", "parameters": {"type": "object"}, "strict": False}
    upstream.script(Answer(calls=[Called("clock", "{}"), Called("things__add", '{"a":1,"b":2}')]))

    answer = ask(client, clock, tool)

    assert [item["type"] for item in answer["output"]] == ["mcp_list_tools", "function_call", "mcp_call"]
    assert answer["output"][2]["output"] == "3"


def test_secrets_of_tools_that_come_later_are_used_and_not_kept(
    client: OpenAI, upstream: Upstream, mcp: Served, things: Toolset
) -> None:
    more = {"type": "additional_tools", "role": "developer", "tools": [server_at(mcp, authorization="tok-2")]}
    upstream.script(ADD, Answer("3"))

    answer = ask(client, given=[more, {"role": "user", "content": "Hi"}])

    assert things.headers[-1]["authorization"] == "Bearer tok-2"
    assert "tok-2" not in client.responses.input_items.list(answer["id"]).to_json()
    kept = client.conversations.create(items=[more])  # type: ignore[list-item]
    assert "tok-2" not in client.conversations.items.list(kept.id).to_json()


def test_a_key_in_the_url_of_a_server_that_comes_later_is_used_and_not_kept(
    client: OpenAI, upstream: Upstream, mcp: Served
) -> None:
    tool = server_at(mcp)
    tool["server_url"] = f"{tool['server_url']}?key=open-sesame"
    more = {"type": "additional_tools", "role": "developer", "tools": [tool]}
    upstream.script(ADD, Answer("3"))

    answer = ask(client, given=[more, {"role": "user", "content": "Hi"}])

    assert [item["type"] for item in answer["output"]][:2] == ["mcp_list_tools", "mcp_call"]
    assert "open-sesame" not in client.responses.input_items.list(answer["id"]).to_json()
    kept = client.conversations.create(items=[more])  # type: ignore[list-item]
    listed = client.conversations.items.list(kept.id).to_json()
    assert "open-sesame" not in listed
    assert mcp.url in listed
