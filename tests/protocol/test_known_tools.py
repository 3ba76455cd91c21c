"""Tools that come again with the next request."""

import json
from typing import Any

import msgspec
import pytest
from openai import OpenAI
from tests.scripted import Answer, Upstream
from tests.tools.using import ask, offered

from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.items import AdditionalTools, ToolSearchOutput
from antiphon.protocol.known_tools import KnownTools
from antiphon.protocol.parse import parse_create
from antiphon.protocol.tools import FunctionTool, NamespaceTool, Tool

SCHEMA = {
    "type": "object",
    "properties": {"x": {"type": "integer"}},
    "required": ["x"],
    "additionalProperties": False,
}
FUNCTION: dict[str, Any] = {
    "type": "function",
    "name": "place",
    "description": "Places it.",
    "parameters": SCHEMA,
}
GROUP: dict[str, Any] = {"type": "namespace", "name": "town", "description": "A town.", "tools": [FUNCTION]}
SERVER: dict[str, Any] = {"type": "mcp", "server_label": "s", "authorization": "secret"}


def brought(*tools: object) -> dict[str, Any]:
    """The item in which Codex sends its tools."""
    return {"type": "additional_tools", "role": "developer", "tools": tools}


def found(*tools: object) -> dict[str, Any]:
    """What a search of the client's came to."""
    return {"type": "tool_search_output", "execution": "client", "call_id": "call_1", "tools": tools}


def raw(tool: object) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(tool).encode())


@pytest.mark.parametrize("tool", [FUNCTION, GROUP, {"type": "custom", "name": "say"}])
def test_a_tool_of_the_client_is_read_once(tool: dict[str, Any]) -> None:
    known = KnownTools()
    assert known.read(raw(tool)) is known.read(raw(tool))
    assert known.read(raw(tool | {"description": "Other words."})) is not known.read(raw(tool))


def test_what_may_hold_secrets_is_not_kept() -> None:
    known = KnownTools()
    assert known.read(raw(SERVER)) is not known.read(raw(SERVER))


def test_no_more_is_kept_than_there_is_room_for() -> None:
    known = KnownTools(most=10_000)
    first = known.read(raw(FUNCTION))
    tools = [known.read(raw(FUNCTION | {"name": f"plac{digit}"})) for digit in "12345"]
    assert known.read(raw(FUNCTION)) is not first
    assert known.read(raw(FUNCTION | {"name": "plac5"})) is tools[-1]
    large = raw(FUNCTION | {"description": "x" * 100_000})
    assert KnownTools().read(large) == KnownTools().read(large)


def test_tools_of_few_letters_fill_the_room_too() -> None:
    known = KnownTools()
    for number in range(1_000):
        known.read(raw({"type": "custom", "name": f"f{number}"}))
    assert len(known._known) < 600


def test_what_is_made_of_a_tool_is_kept_where_it_comes_again_alone() -> None:
    found = msgspec.json.decode(raw(GROUP), type=Tool)
    assert isinstance(found, NamespaceTool)
    found.tools[0].kept["words"] = "of a tool in a history"
    assert not found.tools[0].kept
    known = KnownTools().read(raw(GROUP))
    assert isinstance(known, NamespaceTool)
    known.tools[0].kept["words"] = "of a tool that comes again"
    assert known.tools[0].kept


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": "x", "tools": [{"type": "web_search"}, FUNCTION | {"name": 1}]}, "tools[1].name"),
        ({"input": [brought({"type": "web_search"}, FUNCTION | {"name": 1})]}, "input[0].tools[1].name"),
    ],
)
def test_a_fault_in_a_tool_is_found_where_it_stands(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_create(json.dumps({"model": "m"} | body).encode())
    assert caught.value.param == param


@pytest.mark.parametrize("item", [brought(GROUP, FUNCTION), found(GROUP, FUNCTION)])
def test_tools_that_items_bring_are_read_once(item: dict[str, Any]) -> None:
    body = json.dumps({"model": "m", "input": [item], "tools": [GROUP]}).encode()
    first, again = parse_create(body), parse_create(body)
    (one,), (other,) = first.items, again.items
    assert isinstance(one, AdditionalTools | ToolSearchOutput)
    assert isinstance(other, AdditionalTools | ToolSearchOutput)
    assert one == other
    assert [id(tool) for tool in one.tools] == [id(tool) for tool in other.tools]
    assert first.request.tools is not None
    assert first.request.tools[0] is one.tools[0]


@pytest.mark.parametrize("tools", ["null", "7", "absent"])
def test_an_item_that_brings_tools_has_some(tools: str) -> None:
    item = b'{"type": "additional_tools", "role": "developer", "tools": %b}' % tools.encode()
    item = item.replace(b', "tools": absent', b"")
    with pytest.raises(InvalidRequest) as caught:
        parse_create(b'{"model": "m", "input": [%b]}' % item)
    assert caught.value.param == "input[0].tools"


def test_what_is_no_tool_is_refused_each_time() -> None:
    known = KnownTools()
    for _ in range(2):
        with pytest.raises(msgspec.ValidationError):
            known.read(raw(FUNCTION | {"name": 3}))


@pytest.mark.parametrize("tools", [(FUNCTION,), (GROUP,), (GROUP, FUNCTION | {"name": "other"})])
def test_a_tool_that_comes_again_is_offered_and_echoed_as_the_first_time(
    client: OpenAI, upstream: Upstream, tools: tuple[dict[str, Any], ...]
) -> None:
    upstream.script(*[Answer("Hi")] * 3)
    first, other, again = (ask(client, *each) for each in (tools, (FUNCTION | {"strict": False},), tools))
    assert first["tools"] == again["tools"] != other["tools"]
    assert offered(upstream, 0) == offered(upstream, 2) != offered(upstream, 1)


def test_what_is_made_of_a_tool_is_no_part_of_it() -> None:
    tool = KnownTools().read(raw(FUNCTION))
    before = msgspec.json.encode(tool)
    assert isinstance(tool, FunctionTool)
    assert msgspec.json.decode(tool.echoed)["strict"] is True
    assert msgspec.json.encode(tool) == before
