"""WebSocket mode: every event of either side, and the parameters that only it knows."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from tests.conftest import Running
from tests.ledger import covers
from tests.scripted import Answer, Upstream
from websockets.sync.client import ClientConnection, connect

Json = dict[str, Any]


@pytest.fixture
def socket(server: Running) -> Iterator[ClientConnection]:
    with connect(server.url.replace("http", "ws") + "/v1/responses") as socket:
        yield socket


def ask(socket: ClientConnection, **frame: Any) -> Json:
    """The one frame with which a frame is answered."""
    socket.send(json.dumps(frame))
    return json.loads(socket.recv(10))


def create(socket: ClientConnection, **members: Any) -> list[Json]:
    """The events of a response."""
    socket.send(json.dumps({"type": "response.create", "model": "m", "input": "hi", **members}))
    told: list[Json] = []
    while not told or told[-1]["type"] != "response.completed":
        told.append(json.loads(socket.recv(10)))
    return told


@covers("endpoint.GET /responses (WebSocket)", "ws.client.response.create")
def test_a_response_is_emitted_over_a_websocket(socket: ClientConnection, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    told = create(socket)
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert told[-1]["response"]["output"][0]["content"][0]["text"] == "Hello"


@covers("param.generate")
def test_a_warm_up_generates_nothing_and_can_be_continued(
    socket: ClientConnection, upstream: Upstream
) -> None:
    upstream.script(Answer("Hello"))
    warm = create(socket, generate=False, store=False)[-1]["response"]
    assert (warm["output"], upstream.requests) == ([], [])
    create(socket, previous_response_id=warm["id"], input="again", store=False)
    assert [message["content"] for message in upstream.last.body["messages"]] == ["hi", "again"]


@covers("param.stream_id")
def test_the_events_of_a_lane_carry_its_name(socket: ClientConnection, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    assert {event["stream_id"] for event in create(socket, stream_id="left")} == {"left"}


def test_a_socket_has_no_background(socket: ClientConnection, upstream: Upstream) -> None:
    refusal = ask(socket, type="response.create", model="m", input="hi", background=True)
    assert (refusal["status"], refusal["error"]["param"]) == (400, "background")
    assert upstream.requests == []


@covers("param.generate", "param.stream_id")
@pytest.mark.parametrize("name", ["generate", "stream_id"])
def test_over_http_they_are_unknown(http: httpx2.Client, name: str) -> None:
    answer = http.post("/v1/responses", json={"model": "m", "input": "hi", name: "x"})
    told = answer.json()["error"]
    assert (answer.status_code, told["param"], told["code"]) == (400, name, "unknown_parameter")


@covers("ws.server.error")
def test_an_unknown_frame_is_answered_with_an_error_and_the_connection_stays(
    socket: ClientConnection, upstream: Upstream
) -> None:
    told = ask(socket, type="response.bogus", input=[])
    error = told["error"]
    assert (told["type"], told["status"], error["param"], error["code"]) == (
        "error",
        400,
        "type",
        "invalid_value",
    )
    upstream.script(Answer("Hello"))
    assert create(socket)[-1]["type"] == "response.completed"
