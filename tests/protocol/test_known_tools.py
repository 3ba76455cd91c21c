"""Tools that come again with the next request."""

import json
from typing import Any

import msgspec
import pytest
from openai import OpenAI
from tests.scripted import Answer, Upstream
from tests.tools.using import ask, offered

from antiphon.protocol.known_tools import KnownTools
from antiphon.protocol.tools import FunctionTool

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
    known = KnownTools(most=3 * len(bytes(raw(FUNCTION))))
    first = known.read(raw(FUNCTION))
    for digit in "12345":
        known.read(raw(FUNCTION | {"name": f"plac{digit}"}))
    assert known.read(raw(FUNCTION)) is not first
    large = raw(FUNCTION | {"description": "x" * 100_000})
    assert KnownTools().read(large) == KnownTools().read(large)


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
