"""`mcp` by ways other than a request of its own over HTTP: a WebSocket, tools that come in the input."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Upstream
from tests.tools.mcp_servers import Served, Toolset, served
from tests.tools.using import ask, calls, offered, read
from websockets.sync.client import ClientConnection, connect

from antiphon.config import Outbound
from antiphon.stream.fold import fold

ADD = calls("s__add", '{"a":1,"b":2}')
DELETE = calls("s__delete", '{"name":"x"}')
USER: Json = {"role": "user", "content": "Hi"}


@pytest.fixture(scope="module")
def things() -> Toolset:
    return Toolset()


@pytest.fixture(scope="module")
def mcp(things: Toolset) -> Iterator[Served]:
    with served(things.server()) as running:
        yield running


@pytest.fixture
def running(upstream: Upstream, tmp_path: Path) -> Iterator[Running]:
    config = replace(config_for(upstream, tmp_path), outbound=Outbound(allow_private=True))
    with Running(config) as running:
        yield running


@pytest.fixture
def client(running: Running) -> Iterator[OpenAI]:
    with checked_client(running.url) as client:
        yield client


def at(server: Served, **members: Any) -> Json:
    base: Json = {"type": "mcp", "server_label": "s", "server_url": f"{server.url}/mcp"}
    return base | {"require_approval": "never"} | members


# ---- over a WebSocket -------------------------------------------------------------------------------------


@pytest.fixture
def socket(running: Running) -> Iterator[ClientConnection]:
    with connect(running.url.replace("http", "ws") + "/v1/responses") as socket:
        yield socket


def said(socket: ClientConnection, **members: Any) -> list[Json]:
    """The events of a response that is not stored."""
    socket.send(json.dumps({"type": "response.create", "model": "m", "store": False, **members}))
    events: list[Json] = []
    while not events or "output" not in events[-1].get("response", {}) or not _over(events[-1]):
        events.append(json.loads(socket.recv(timeout=60)))
        assert events[-1]["type"] != "error", events[-1]
    assert fold(events) == events[-1]["response"]
    return events


def _over(event: Json) -> bool:
    return event["type"] in ("response.completed", "response.incomplete", "response.failed")


def test_a_server_is_listed_and_called_over_a_websocket(
    socket: ClientConnection, upstream: Upstream, mcp: Served
) -> None:
    upstream.script(ADD, Answer("3"), ADD, Answer("3"))

    events = said(socket, input="Hi", tools=[at(mcp)])
    first = events[-1]["response"]
    second = said(socket, input="Again", tools=[at(mcp)], previous_response_id=first["id"])[-1]["response"]

    assert [item["type"] for item in first["output"]] == ["mcp_list_tools", "mcp_call", "message"]
    assert [item["type"] for item in second["output"]] == ["mcp_call", "message"]
    assert (first["output"][1]["output"], second["output"][0]["output"]) == ("3", "3")


def test_consent_is_given_over_a_websocket(
    socket: ClientConnection, upstream: Upstream, things: Toolset, mcp: Served
) -> None:
    things.called.clear()
    tool = at(mcp, require_approval="always")
    upstream.script(DELETE, Answer("Done"))
    first = said(socket, input="Hi", tools=[tool])[-1]["response"]
    request = first["output"][1]
    answer = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}

    second = said(socket, input=[answer], tools=[tool], previous_response_id=first["id"])[-1]["response"]

    assert [item["type"] for item in second["output"]] == ["mcp_call", "message"]
    assert things.called == ["delete x"]


# ---- tools that come in the input -------------------------------------------------------------------------


def more(*tools: Json) -> Json:
    return {"type": "additional_tools", "role": "developer", "tools": list(tools)}


def test_a_server_that_comes_in_the_input_is_listed_and_called(
    client: OpenAI, upstream: Upstream, mcp: Served
) -> None:
    upstream.script(ADD, Answer("3"))

    answer = ask(client, given=[more(at(mcp)), USER])

    assert [item["type"] for item in answer["output"]] == ["mcp_list_tools", "mcp_call", "message"]
    assert answer["output"][1]["output"] == "3"
    assert "s__add" in offered(upstream)
    assert read(upstream)[0] == USER


@pytest.mark.parametrize("stateless", [False, True], ids=["in a chain", "with the whole context"])
def test_a_server_that_came_in_the_input_is_there_in_later_turns(
    client: OpenAI, upstream: Upstream, mcp: Served, stateless: bool
) -> None:
    upstream.script(Answer("Hi"), ADD, Answer("3"))
    given = [more(at(mcp)), USER]
    first = ask(client, given=given)
    again = {"role": "user", "content": "Again"}

    if stateless:
        second = ask(client, given=[*given, *first["output"], again])
    else:
        second = ask(client, given=[again], previous_response_id=first["id"])

    assert [item["type"] for item in second["output"]] == ["mcp_call", "message"]
    assert second["output"][0]["output"] == "3"


def test_a_server_that_comes_in_the_input_asks_for_consent(
    client: OpenAI, upstream: Upstream, things: Toolset, mcp: Served
) -> None:
    things.called.clear()
    tool = at(mcp, require_approval={"never": {"tool_names": ["add"]}})
    upstream.script(DELETE, Answer("Done"))

    first = ask(client, given=[more(tool), USER])
    request = first["output"][1]
    answer = {"type": "mcp_approval_response", "approval_request_id": request["id"], "approve": True}
    second = ask(client, given=[answer], previous_response_id=first["id"])

    assert request["type"] == "mcp_approval_request"
    assert things.called == ["delete x"]
    assert second["output"][0]["approval_request_id"] == request["id"]
