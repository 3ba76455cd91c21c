"""/v1/responses over a WebSocket."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from tests.conftest import Running, config_for
from tests.ledger import covers
from tests.scripted import Answer, Gate, Upstream
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from antiphon.config import Server, hash_key
from antiphon.stream.fold import fold

Json = dict[str, Any]

TERMINAL = {"response.completed", "response.incomplete", "response.failed", "error"}


def url(server: Running) -> str:
    return server.url.replace("http", "ws") + "/v1/responses"


@pytest.fixture
def socket(server: Running) -> Iterator[ClientConnection]:
    with connect(url(server)) as socket:
        yield socket


def send(socket: ClientConnection, **members: Any) -> None:
    socket.send(json.dumps({"type": "response.create", "model": "m", "store": False, **members}))


def frame(socket: ClientConnection) -> Json:
    value: Json = json.loads(socket.recv(timeout=60))
    return value


def answer(socket: ClientConnection) -> Json:
    """The response that the next frames tell; they must fold to it."""
    events = [frame(socket)]
    while events[-1]["type"] not in TERMINAL:
        events.append(frame(socket))
    assert events[-1]["type"] != "error", events[-1]
    assert fold(events) == events[-1]["response"]
    response: Json = events[-1]["response"]
    return response


@pytest.mark.parametrize("depth", [1_200, 100_000])
def test_a_frame_that_is_nested_too_deeply_ends_nothing(
    socket: ClientConnection, upstream: Upstream, depth: int
) -> None:
    gate = Gate()
    upstream.script(Answer("one", gate=gate), Answer("two"))
    send(socket, input="a", stream_id="other")
    gate.wait_reached()
    deep = "[" * depth + "]" * depth

    socket.send(f'{{"type":"response.create","model":"m","stream_id":"deep","input":{deep}}}')

    events = [frame(socket)]
    while events[-1]["type"] != "error":
        events.append(frame(socket))
    assert events[-1]["status"] == 400
    assert "nested" in events[-1]["error"]["message"]
    gate.open()
    while events[-1]["type"] != "response.completed":
        events.append(frame(socket))
    send(socket, input="b")
    assert answer(socket)["status"] == "completed"


@pytest.mark.parametrize(
    "given",
    [
        b'{"type": "response.steer", "previous_response_id": "\xff", "input": "a"}',
        b'{"type": "response.steer", "previous_response_id": "a", "input": "\xff"}',
        b'{"type": "response.inject", "response_id": "a", "input": ["\xff"]}',
        b'{"type": "response.create", "model": "m", "input": "\xff"}',
    ],
)
def test_a_frame_that_is_no_text_ends_nothing(
    socket: ClientConnection, upstream: Upstream, given: bytes
) -> None:
    socket.send(given)
    refused = frame(socket)
    assert (refused["type"], refused["status"]) == ("error", 400)
    upstream.script(Answer("one"))
    socket.send('{"type": "response.create", "model": "m", "input": "ü"}'.encode())
    assert answer(socket)["status"] == "completed"
    assert said(upstream) == ["ü"]


def said(upstream: Upstream) -> list[str]:
    return [message["content"] for message in upstream.last.body["messages"]]


@covers("endpoint.GET /responses (WebSocket)")
def test_the_official_client_talks_over_a_connection(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello", size=2))
    with client.responses.connect() as connection:
        connection.response.create(model="m", input="hi", store=False)
        for event in connection:
            if event.type == "response.completed":
                assert event.response.output_text == "Hello"
                break


def test_a_response_that_is_not_stored_can_be_continued_on_its_connection(
    socket: ClientConnection, upstream: Upstream
) -> None:
    upstream.script(Answer("one"), Answer("two"), Answer("three"))
    send(socket, input="a")
    first = answer(socket)
    send(socket, input="b", previous_response_id=first["id"])
    second = answer(socket)
    send(socket, input="c", previous_response_id=second["id"])
    third = answer(socket)
    assert said(upstream) == ["a", "one", "b", "two", "c"]
    assert third["previous_response_id"] == second["id"]


def test_only_the_newest_response_is_remembered(socket: ClientConnection, upstream: Upstream) -> None:
    upstream.script(Answer("one"), Answer("two"))
    send(socket, input="a")
    first = answer(socket)
    send(socket, input="b")
    answer(socket)
    send(socket, input="c", previous_response_id=first["id"])
    assert frame(socket)["error"]["code"] == "previous_response_not_found"


def test_a_failed_turn_evicts_what_was_remembered(socket: ClientConnection, upstream: Upstream) -> None:
    upstream.script(Answer("one"), Answer(status=500, error="broken"))
    send(socket, input="a")
    first = answer(socket)
    send(socket, input="b", previous_response_id=first["id"])
    refused = frame(socket)
    assert (refused["type"], refused["status"]) == ("error", 502)
    send(socket, input="c", previous_response_id=first["id"])
    assert frame(socket)["error"]["code"] == "previous_response_not_found"


def test_another_connection_remembers_nothing(
    server: Running, socket: ClientConnection, upstream: Upstream
) -> None:
    upstream.script(Answer("one"))
    send(socket, input="a")
    first = answer(socket)
    with connect(url(server)) as other:
        send(other, input="b", previous_response_id=first["id"])
        assert frame(other)["error"]["code"] == "previous_response_not_found"


def test_a_warm_up_answers_nothing_and_can_be_continued(socket: ClientConnection, upstream: Upstream) -> None:
    send(socket, input=[{"role": "user", "content": "a"}], generate=False)
    warm = answer(socket)
    assert (warm["status"], warm["output"], upstream.requests) == ("completed", [], [])
    upstream.script(Answer("one"))
    send(socket, input="b", previous_response_id=warm["id"])
    answer(socket)
    assert said(upstream) == ["a\n\nb"] or said(upstream) == ["a", "b"]


def test_a_warm_up_may_come_without_input(socket: ClientConnection, upstream: Upstream) -> None:
    send(socket, input=[], generate=False)
    warm = answer(socket)
    assert warm["status"] == "completed"
    upstream.script(Answer("one"))
    send(socket, input="a", previous_response_id=warm["id"])
    answer(socket)
    assert said(upstream) == ["a"]


def test_what_is_stored_continues_what_was_not(
    client: OpenAI, socket: ClientConnection, upstream: Upstream
) -> None:
    upstream.script(Answer("one"), Answer("two"), Answer("three"))
    send(socket, input="a")
    first = answer(socket)
    send(socket, input="b", previous_response_id=first["id"], store=True)
    second = answer(socket)
    client.responses.create(model="m", input="c", previous_response_id=second["id"])
    assert said(upstream) == ["a", "one", "b", "two", "c"]


def test_frames_of_one_lane_are_answered_one_after_another(
    socket: ClientConnection, upstream: Upstream
) -> None:
    gate = Gate(after=0)
    upstream.script(Answer("one", gate=gate), Answer("two"))
    send(socket, input="a")
    send(socket, input="b")
    gate.wait_reached()
    gate.open()
    assert [answer(socket)["output"][0]["content"][0]["text"] for _ in range(2)] == ["one", "two"]


def test_lanes_run_side_by_side(socket: ClientConnection, upstream: Upstream) -> None:
    gate = Gate(after=0)
    upstream.on(lambda body: body["messages"][0]["content"] == "slow", Answer("late", gate=gate))
    upstream.on(lambda body: body["messages"][0]["content"] == "fast", Answer("soon"))
    send(socket, input="slow", stream_id="s")
    send(socket, input="fast", stream_id="f")
    ended = []
    while len(ended) < 2:
        event = frame(socket)
        if event["type"] == "response.completed":
            ended.append(event["stream_id"])
            gate.open()
    assert ended == ["f", "s"]


@pytest.mark.parametrize(
    ("text", "code", "param"),
    [
        ("nonsense", None, None),
        ("[]", None, None),
        ('{"type": "response.bogus"}', "invalid_value", "type"),
        ('{"type": "response.create", "input": "hi"}', "missing_required_parameter", "model"),
        ('{"type": "response.create", "model": "m", "input": "x", "bogus": 1}', "unknown_parameter", "bogus"),
    ],
)
def test_a_wrong_frame_is_reported_and_the_connection_stays_open(
    socket: ClientConnection, upstream: Upstream, text: str, code: str | None, param: str | None
) -> None:
    socket.send(text)
    told = frame(socket)
    assert (told["type"], told["status"]) == ("error", 400)
    assert (told["error"]["type"], told["error"]["code"], told["error"]["param"]) == (
        "invalid_request_error",
        code,
        param,
    )
    upstream.script(Answer("still here"))
    send(socket, input="hi")
    assert answer(socket)["status"] == "completed"


def test_a_connection_has_a_bounded_number_of_lanes(socket: ClientConnection, upstream: Upstream) -> None:
    gates = [Gate(after=0) for _ in range(16)]
    upstream.script(*(Answer("hi", gate=gate) for gate in gates))
    for number in range(17):
        send(socket, input="hi", stream_id=str(number))
    refused = frame(socket)
    while refused["type"] != "error":
        refused = frame(socket)
    assert (refused["error"]["code"], refused["stream_id"]) == ("websocket_stream_limit_reached", "16")
    for gate in gates:
        gate.open()
    ended: list[str] = []
    while len(ended) < 16:
        ended += [event for event in [frame(socket)["type"]] if event in TERMINAL]
    assert ended == ["response.completed"] * 16


def test_any_number_of_lanes_is_answered_one_after_another(
    socket: ClientConnection, upstream: Upstream
) -> None:
    for number in range(40):
        send(socket, input="hi", stream_id=str(number), generate=False)
        assert answer(socket)["status"] == "completed"


def test_the_lanes_that_were_used_last_are_remembered(socket: ClientConnection, upstream: Upstream) -> None:
    upstream.default = Answer("hi")
    ids = []
    for number in range(17):
        send(socket, input="hi", stream_id=str(number), store=False)
        ids.append(answer(socket)["id"])
    send(socket, input="on", stream_id="x", store=False, previous_response_id=ids[1])
    assert answer(socket)["status"] == "completed"
    send(socket, input="on", stream_id="y", store=False, previous_response_id=ids[0])
    assert frame(socket)["error"]["code"] == "previous_response_not_found"


def test_a_client_that_goes_away_stops_the_upstream(server: Running, upstream: Upstream) -> None:
    gate = Gate(after=1)
    upstream.script(Answer("Hello", size=1, gate=gate))
    with connect(url(server)) as socket:
        send(socket, input="hi")
        gate.wait_reached()
    upstream.last.wait_gone()


def test_a_wrong_key_is_refused_at_the_handshake(upstream: Upstream, tmp_path: Path) -> None:
    keys = Server(verify=True, keys={"team": hash_key("sk-right")})
    with Running(config_for(upstream, tmp_path, keys)) as server:
        with pytest.raises(InvalidStatus) as refused:
            connect(url(server), additional_headers={"authorization": "Bearer sk-wrong"})
        assert refused.value.response.status_code == 401
        with connect(url(server), additional_headers={"authorization": "Bearer sk-right"}) as socket:
            send(socket, input=[], generate=False)
            assert answer(socket)["status"] == "completed"
