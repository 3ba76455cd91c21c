"""`tool_search`: tools that are not offered before they are looked for."""

import json
from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import Json, Like, refused, some_id
from tests.ledger import covers
from tests.scripted import Answer, Upstream
from tests.tools.using import ask, calls, emitted, offered, only, read, stream

from antiphon.protocol.tools import CustomTool, FunctionTool, NamespaceTool
from antiphon.tools.deferred import Deferred, find, listing, regroup


def function(name: str, description: str, **members: Any) -> Json:
    base = {"type": "function", "name": name, "description": description, "parameters": {"type": "object"}}
    return base | {"strict": False, "defer_loading": True} | members


WEATHER = function("get_weather", "Get the current weather at a location")
MAIL = function("send_email", "Send an email to a recipient")
NOTE: Json = {"type": "custom", "name": "note", "description": "Takes a note", "defer_loading": True}
CRM: Json = {
    "type": "namespace",
    "name": "crm",
    "description": "Customers and their orders",
    "tools": [
        function("list_orders", "Lists the orders of a customer"),
        function("delete_order", "Removes one"),
        function("help", "Explains the system", defer_loading=False),
    ],
}
SEARCH: Json = {"type": "tool_search"}
ALL = (WEATHER, MAIL, NOTE, CRM, SEARCH)


def search(*paths: str) -> Answer:
    return calls("tool_search", json.dumps({"paths": paths}), 5)


# ---- executed by the server -------------------------------------------------------------------------


@covers("tool.tool_search", "tool.function.defer_loading")
def test_deferred_tools_are_listed_and_not_offered(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hi"))

    answer = ask(client, *ALL)

    assert answer["tools"][-1] == {"type": "tool_search", "description": None, "parameters": None}
    assert list(offered(upstream)) == ["crm__help", "tool_search"]
    assert offered(upstream)["tool_search"]["description"].splitlines()[1:] == [
        "- get_weather: Get the current weather at a location",
        "- send_email: Send an email to a recipient",
        "- note: Takes a note",
        "- crm.list_orders: Lists the orders of a customer",
        "- crm.delete_order: Removes one",
    ]


@covers("item.output.tool_search_call", "item.output.tool_search_output")
def test_what_is_found_can_be_called_in_the_same_response(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(search("get_weather"), calls("get_weather", "{}"))

    events = stream(client, *ALL)

    assert emitted(events) == [
        *["output_item.added", "output_item.done"] * 2,
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
    ]
    search_call, output, call = events[-1]["response"]["output"]
    assert search_call == {
        "type": "tool_search_call",
        "id": some_id("tsc"),
        "call_id": None,
        "execution": "server",
        "arguments": {"paths": ["get_weather"]},
        "status": "completed",
    }
    assert output == {
        "type": "tool_search_output",
        "id": some_id("tso"),
        "call_id": None,
        "execution": "server",
        "tools": [WEATHER],
        "status": "completed",
    }
    assert (call["name"], call["namespace"]) == ("get_weather", "get_weather")
    assert list(offered(upstream)) == ["crm__help", "tool_search", "get_weather"]
    assert read(upstream)[-1]["content"] == "These tools can be called now: get_weather"


def test_tools_of_a_namespace_are_found_within_it(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(search("orders of a customer"), calls("crm__list_orders", "{}"))

    _, output, call = ask(client, *ALL)["output"]

    assert [tool["name"] for tool in output["tools"]] == ["crm"]
    assert [tool["name"] for tool in output["tools"][0]["tools"]] == ["list_orders", "delete_order"]
    assert (call["namespace"], call["name"]) == ("crm", "list_orders")


@covers("tool.custom.defer_loading")
def test_custom_tools_can_be_found(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(search("note"), calls("note", '{"input": "x"}'))

    *_, call = ask(client, *ALL)["output"]

    assert (call["type"], call["namespace"], call["input"]) == ("custom_tool_call", "note", "x")


def test_nothing_found_is_reported(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(search("quantum"), Answer("I cannot."))

    _, output, message = ask(client, *ALL)["output"]

    assert (output["tools"], message["type"]) == ([], "message")
    assert read(upstream)[-1]["content"] == "No tool was found."


def test_a_search_for_nothing_is_asked_for_again(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("tool_search", "{}"), search("note"), Answer("ok"))

    assert [item["type"] for item in ask(client, *ALL)["output"]] == [
        "tool_search_call",
        "tool_search_output",
        "message",
    ]
    assert "paths" in read(upstream, 1)[-1]["content"]


@pytest.mark.parametrize("store", [True, False])
def test_what_was_found_can_be_called_in_later_turns(client: OpenAI, upstream: Upstream, store: bool) -> None:
    upstream.script(search("crm", "send_email"), Answer("Found."), calls("send_email", "{}"))
    first = ask(client, *ALL, store=store)
    given = first["output"] if not store else []
    more = {"previous_response_id": first["id"]} if store else {}

    ask(client, *ALL, given=[*given, {"role": "user", "content": "Go on"}], **more)

    names = ["crm__list_orders", "crm__delete_order", "send_email"]
    assert list(offered(upstream)) == ["crm__help", "tool_search", *names]
    said = read(upstream)
    (at,) = (index for index, message in enumerate(said) if message.get("tool_calls"))
    asked, answered = said[at : at + 2]
    assert asked["tool_calls"][0]["function"] == {
        "name": "tool_search",
        "arguments": '{"paths":["crm","send_email"]}',
    }
    assert answered["content"] == f"These tools can be called now: {', '.join(names)}"


def test_a_call_of_a_found_function_reads_under_its_name(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(search("get_weather"), calls("get_weather", "{}"), Answer("Sunny."))
    first = ask(client, *ALL)
    output = {"type": "function_call_output", "call_id": first["output"][-1]["call_id"], "output": "sun"}

    ask(client, *ALL, given=[output], previous_response_id=first["id"])

    names = [call["function"]["name"] for message in read(upstream) for call in message.get("tool_calls", ())]
    assert names == ["tool_search", "get_weather"]


def test_without_a_search_deferred_tools_are_offered_at_once(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("get_weather", "{}"))

    assert "namespace" not in only(ask(client, WEATHER, CRM))
    assert list(offered(upstream)) == ["get_weather", "crm__list_orders", "crm__delete_order", "crm__help"]


def test_a_deferred_tool_that_is_chosen_need_not_be_searched_for(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("send_email", "{}"), Answer("ok"), Answer("ok"))

    ask(client, *ALL, tool_choice={"type": "function", "name": "send_email"})
    assert "send_email" in offered(upstream)

    only_mail: list[Json] = [{"type": "function", "name": "send_email"}]
    ask(client, *ALL, tool_choice={"type": "allowed_tools", "mode": "auto", "tools": only_mail})
    assert list(offered(upstream)) == ["send_email"]

    both = [*only_mail, {"type": "tool_search"}]
    ask(client, *ALL, tool_choice={"type": "allowed_tools", "mode": "auto", "tools": both})
    assert list(offered(upstream)) == ["tool_search"]


# ---- executed by the client -------------------------------------------------------------------------

OWN_SEARCH: Json = {
    "type": "tool_search",
    "execution": "client",
    "description": "Finds tools.",
    "parameters": {"type": "object", "properties": {"goal": {"type": "string"}}, "required": ["goal"]},
}


@covers("tool.tool_search.execution", "tool.tool_search.description", "tool.tool_search.parameters")
def test_the_client_may_search_itself(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("tool_search", '{"goal": "weather"}', 3))

    events = stream(client, WEATHER, OWN_SEARCH)

    assert emitted(events) == ["output_item.added", "output_item.done"]
    assert events[2]["item"]["arguments"] == {}
    assert events[3]["item"] == {
        "type": "tool_search_call",
        "id": some_id("tsc"),
        "call_id": "call_0",
        "execution": "client",
        "arguments": {"goal": "weather"},
        "status": "completed",
    }
    assert offered(upstream)["tool_search"] == {
        "name": "tool_search",
        "description": "Finds tools.",
        "parameters": OWN_SEARCH["parameters"],
    }


@covers("item.input.tool_search_call", "item.input.tool_search_output")
@pytest.mark.parametrize("tools", [[WEATHER, OWN_SEARCH], [OWN_SEARCH], []])
def test_what_the_client_found_can_be_called(client: OpenAI, upstream: Upstream, tools: list[Json]) -> None:
    upstream.script(calls("get_weather", "{}"))
    given: list[Json] = [
        {"role": "user", "content": "Weather?"},
        {"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {"goal": "weather"}},
        {"type": "tool_search_output", "call_id": "c", "execution": "client", "tools": [WEATHER, CRM]},
    ]

    item = only(ask(client, *tools, given=given))

    assert (item["name"], "namespace" in item) == ("get_weather", False)
    assert {"get_weather", "crm__list_orders", "crm__delete_order"} <= offered(upstream).keys()
    assert read(upstream)[-1]["content"] == Like("These tools can be called now: get_weather, crm__.*")


def test_a_search_is_answered(client: OpenAI) -> None:
    call = {"type": "tool_search_call", "call_id": "c", "execution": "client", "arguments": {}}
    with refused(400, None, "input"):
        ask(client, OWN_SEARCH, given=[call])


def test_there_is_one_search(client: OpenAI) -> None:
    with refused(400, None, "tools[1]"):
        ask(client, SEARCH, OWN_SEARCH)


# ---- finding ----------------------------------------------------------------------------------------

TOOLS = [
    Deferred(FunctionTool(name="get_weather", description="Current weather at a location")),
    Deferred(FunctionTool(name="sendEmail", description="Sends a message to somebody's mailbox")),
    Deferred(CustomTool(name="query", description="Runs SQL on the database of orders")),
]
GROUP = NamespaceTool(
    name="calendar",
    description="Meetings and appointments",
    tools=[FunctionTool(name="create"), FunctionTool(name="list", description="Lists what is planned")],
)
TOOLS += [Deferred(tool, GROUP) for tool in GROUP.tools]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("get_weather", ["get_weather"]),
        ("weather", ["get_weather"]),
        ("what is the WEATHER in Paris?", ["get_weather"]),
        ("send emails", ["sendEmail"]),
        ("sql database", ["query"]),
        ("calendar", ["calendar.create", "calendar.list"]),
        ("calendar.list", ["calendar.list"]),
        ("calendar__list", ["calendar.list"]),
        ("planned appointment", ["calendar.list", "calendar.create"]),
        ("xyzzy", []),
        ("", []),
    ],
)
def test_tools_are_found_by_name_or_by_what_they_are_for(wanted: str, found: list[str]) -> None:
    assert [each.path for each in find(TOOLS, [wanted])] == found


def test_what_was_found_is_given_as_entries_of_tools() -> None:
    entries = regroup(find(TOOLS, ["calendar.list", "query", "calendar.create"]))
    assert [getattr(entry, "name", "") for entry in entries] == ["calendar", "query"]
    assert [tool.name for tool in entries[0].tools] == ["list", "create"]  # type: ignore[union-attr]


def test_nothing_is_found_among_nothing() -> None:
    assert find([], ["anything"]) == []


def test_a_long_listing_is_cut() -> None:
    many = [Deferred(FunctionTool(name=f"f{n}", description="x" * 500)) for n in range(300)]
    lines = listing(many).splitlines()
    assert len(lines) == 201
    assert lines[-1] == "and 100 more: describe what you need"
    assert max(map(len, lines)) == 160
