"""Responses that are steered over a WebSocket, with the official client."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from openai.resources.responses.responses import ResponsesConnection
from openai.types.responses import ResponsesServerEvent
from tests.conftest import Running, checked_client, config_for
from tests.ledger import covers
from tests.moderators import ServedModerator
from tests.scripted import Answer, Called, Gate, Upstream
from tests.tools.mcp_servers import Toolset, served
from websockets.sync.client import ClientConnection, connect

from antiphon.config import Moderation, Outbound, Store
from antiphon.engine.steering import MOST
from antiphon.stream.fold import fold

ON_BOTH_HOMES = True

Json = dict[str, Any]
TERMINAL = {"response.completed", "response.incomplete", "response.failed", "error"}
TOOL: Json = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture
def connection(client: OpenAI) -> Iterator[ResponsesConnection]:
    with client.responses.connect() as connection:
        yield connection


class Heard:
    """What a connection tells, one event after another."""

    def __init__(self, connection: ResponsesConnection) -> None:
        self._connection = connection

    def next(self) -> Json:
        event: ResponsesServerEvent = self._connection.recv()
        told: Json = event.to_dict(mode="json", warnings=False)
        return told

    def until(self, *kinds: str) -> list[Json]:
        told = [self.next()]
        while told[-1]["type"] not in kinds:
            told.append(self.next())
        return told

    def response(self) -> Json:
        """The response that the next events tell; they must fold to it."""
        return self.whole(self.until(*TERMINAL))

    def whole(self, events: list[Json]) -> Json:
        assert events[-1]["type"] != "error", events[-1]
        assert fold(events) == events[-1]["response"]
        response: Json = events[-1]["response"]
        return response


@pytest.fixture
def heard(connection: ResponsesConnection) -> Heard:
    return Heard(connection)


def begin(connection: ResponsesConnection, heard: Heard, **members: Any) -> tuple[list[Json], str]:
    """A response whose model has said something: its events so far, and its id."""
    connection.response.create(**{"model": "m", "input": "Count.", **members})
    events = heard.until("response.output_text.delta")
    return events, events[0]["response"]["id"]


def said(upstream: Upstream, which: int = -1) -> list[tuple[str, Any]]:
    return [(each["role"], each.get("content")) for each in upstream.requests[which].body["messages"]]


def text_of(response: Json) -> str:
    return "".join(part["text"] for item in response["output"] for part in item.get("content", ()))


@covers(
    "ws.client.response.steer",
    "ws.server.response.steer.accepted",
    "incomplete.steered",
    "failure.server_error",
)
@pytest.mark.parametrize("store", [True, False])
def test_what_is_said_ends_the_response_and_begins_its_successor(
    client: OpenAI, connection: ResponsesConnection, heard: Heard, upstream: Upstream, store: bool
) -> None:
    gate = Gate(after=5)
    upstream.script(Answer("one two three", size=4, gate=gate), Answer("un deux"))
    events, first_id = begin(connection, heard, store=store, instructions="Be brief.", temperature=0.5)
    gate.wait_reached()

    connection.response.steer(previous_response_id=first_id, input="In French.")

    events += heard.until("response.incomplete")
    target = heard.whole(events)
    (accepted,) = [event for event in events if event["type"] == "response.steer.accepted"]
    assert accepted["steer"]["previous_response_id"] == first_id
    assert accepted["sequence_number"] == events.index(accepted)
    assert target["incomplete_details"] == {"reason": "steered"}
    assert target["output"][0]["status"] == "incomplete"
    assert text_of(target)
    assert "one two three".startswith(text_of(target))
    upstream.requests[0].wait_gone()

    successor = heard.response()
    assert (successor["previous_response_id"], successor["status"]) == (first_id, "completed")
    assert (successor["instructions"], successor["temperature"]) == ("Be brief.", 0.5)
    assert text_of(successor) == "un deux"
    assert said(upstream) == [
        ("system", "Be brief."),
        ("user", "Count."),
        ("assistant", text_of(target)),
        ("user", "In French."),
    ]
    if store:
        assert client.responses.retrieve(first_id).to_dict(mode="json") == target
        assert client.responses.retrieve(successor["id"]).to_dict(mode="json") == successor
        (latest, *_) = client.responses.input_items.list(successor["id"]).data
        assert json.loads(latest.to_json())["content"][0]["text"] == "In French."
    upstream.script(Answer("trois"))
    connection.response.create(model="m", input="On.", previous_response_id=successor["id"], store=store)
    assert text_of(heard.response()) == "trois"
    assert [role for role, _ in said(upstream)][-3:] == ["user", "assistant", "user"]


def test_what_is_said_may_have_pictures_and_several_messages_and_comes_in_its_order(
    connection: ResponsesConnection, heard: Heard, upstream: Upstream
) -> None:
    gate = Gate(after=5)
    upstream.script(Answer("one two three", size=4, gate=gate), Answer("un", gate=Gate(after=0)))
    _, first_id = begin(connection, heard, tools=[TOOL])
    gate.wait_reached()
    part = {"type": "input_text", "text": "b"}
    messages: list[Any] = [
        {"role": "user", "content": "a"},
        {"type": "message", "role": "user", "content": [part]},
    ]
    connection.response.steer(previous_response_id=first_id, input=messages)
    heard.until("response.incomplete")
    upstream.wait_requests(2)
    assert said(upstream)[-2:] == [("user", "a"), ("user", "b")]


def test_a_successor_is_steered_like_any_other(
    client: OpenAI, connection: ResponsesConnection, heard: Heard, upstream: Upstream
) -> None:
    gates = [Gate(after=5) for _ in range(3)]
    upstream.script(*(Answer("one two three", size=4, gate=gate) for gate in gates), Answer("done"))
    events, response_id = begin(connection, heard)
    ids = [response_id]
    for number, gate in enumerate(gates):
        gate.wait_reached()
        connection.response.steer(previous_response_id=ids[-1], input=f"say {number}")
        heard.whole(events + heard.until("response.incomplete"))
        events = heard.until("response.output_text.delta")
        ids.append(events[0]["response"]["id"])
    last = heard.whole(events + heard.until("response.completed"))
    assert text_of(last) == "done"
    stored = [client.responses.retrieve(each) for each in ids]
    assert [each.status for each in stored] == ["incomplete"] * 3 + ["completed"]
    assert [each.previous_response_id for each in stored] == [None, *ids[:-1]]
    given = client.responses.input_items.list(ids[-1], order="asc").data
    texts = [json.loads(item.to_json())["content"][0]["text"] for item in given]
    assert [text for text in texts if not "one two three".startswith(text)] == [
        "Count.",
        "say 0",
        "say 1",
        "say 2",
    ]


def test_a_successor_can_be_read_and_deleted_while_it_is_made(
    client: OpenAI, connection: ResponsesConnection, heard: Heard, upstream: Upstream
) -> None:
    gates = [Gate(after=5), Gate(after=5)]
    upstream.script(*(Answer("one two three", size=4, gate=gate) for gate in gates))
    _, first_id = begin(connection, heard)
    gates[0].wait_reached()
    connection.response.steer(previous_response_id=first_id, input="again")
    heard.until("response.incomplete")
    events = heard.until("response.output_text.delta")
    successor_id = events[0]["response"]["id"]
    assert client.responses.retrieve(successor_id).status == "in_progress"
    client.responses.delete(successor_id)
    gates[1].open()
    heard.whole(events + heard.until("response.completed"))
    with pytest.raises(Exception, match="not found"):
        client.responses.retrieve(successor_id)
    assert client.responses.retrieve(first_id).status == "incomplete"


@pytest.fixture(scope="module")
def things() -> Iterator[Json]:
    with served(Toolset().server()) as running:
        url = f"{running.url}/mcp"
        yield {"type": "mcp", "server_label": "things", "server_url": url, "require_approval": "never"}


@pytest.fixture(scope="module")
def reaching(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    """A client of a server that reaches MCP servers of this machine."""
    config = config_for(_upstream, tmp_path_factory.mktemp("data"))
    with (
        Running(replace(config, outbound=Outbound(allow_private=True))) as running,
        checked_client(running.url) as client,
    ):
        yield client


def test_a_call_that_has_begun_is_made_and_its_result_is_kept(
    reaching: OpenAI, upstream: Upstream, things: Json
) -> None:
    gate = Gate(after=4)
    call = Answer("Let me see.", calls=[Called("things__add", '{"a": 1, "b": 2}')], size=11, gate=gate)
    upstream.script(call, Answer("quatre"))
    with reaching.responses.connect() as connection:
        heard = Heard(connection)
        connection.response.create(model="m", input="Count.", tools=[things])  # type: ignore[list-item]
        events = heard.until("response.mcp_call_arguments.delta", "response.output_text.delta")
        gate.wait_reached()
        connection.response.steer(previous_response_id=events[0]["response"]["id"], input="In French.")
        events += heard.until("response.steer.accepted")
        gate.open()
        target = heard.whole(events + heard.until(*TERMINAL))
        successor = heard.response()
    assert target["incomplete_details"] == {"reason": "steered"}
    (made,) = [item for item in target["output"] if item["type"] == "mcp_call"]
    assert (made["status"], made["output"]) == ("completed", "3")
    assert text_of(successor) == "quatre"
    assert [role for role, _ in said(upstream)][-2:] == ["tool", "user"]


@covers("ws.server.response.steer.pending")
@pytest.mark.parametrize("store", [True, False])
def test_what_is_said_to_a_response_that_calls_the_client_waits_for_the_clients_answer(
    connection: ResponsesConnection, heard: Heard, upstream: Upstream, store: bool
) -> None:
    gate = Gate(after=4)
    upstream.script(Answer(calls=[Called("look", '{"at": "it"}')], size=4, gate=gate), Answer("Seen."))
    connection.response.create(model="m", input="Look.", tools=[TOOL], store=store)  # type: ignore[list-item]
    events = heard.until("response.function_call_arguments.delta")
    first_id = events[0]["response"]["id"]
    gate.wait_reached()
    for text in ("a", "b"):
        connection.response.steer(previous_response_id=first_id, input=text)
        events += heard.until("response.steer.accepted")
    gate.open()
    target = heard.whole(events + heard.until("response.completed"))
    (call,) = target["output"]
    pending = [heard.next() for _ in range(2)]

    accepted = [event["steer"] for event in events if event["type"] == "response.steer.accepted"]
    assert [event["type"] for event in pending] == ["response.steer.pending"] * 2
    assert [event["steer"] for event in pending] == accepted
    stub = {"type": "function_call_output", "call_id": call["call_id"], "name": "look"}
    assert [(event["reason"], event["required_input"]) for event in pending] == [
        ("waiting_for_required_input", [stub])
    ] * 2
    numbers = [event["sequence_number"] for event in pending]
    assert numbers == [numbers[0], numbers[0] + 1]

    connection.response.steer(previous_response_id=first_id, input="late")
    late = heard.next()
    assert (late["type"], late["error"]["code"]) == (
        "response.steer.failed",
        "response_already_completed",
    )
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "blue"}
    given: Any = {"previous_response_id": first_id, "input": [output], "store": store}
    connection.response.create(model="m", **given)
    assert text_of(heard.response()) == "Seen."
    assert said(upstream)[-3:] == [("tool", "blue"), ("user", "a"), ("user", "b")]
    upstream.script(Answer("More."))
    connection.response.create(model="m", **{**given, "input": [{**output, "output": "red"}]})
    if store:  # what waited has been used
        assert text_of(heard.response()) == "More."
        assert ("user", "a") not in said(upstream)


def test_what_waits_for_the_client_waits_on_when_its_answer_is_refused(
    connection: ResponsesConnection, heard: Heard, upstream: Upstream
) -> None:
    gate = Gate(after=4)
    upstream.script(Answer(calls=[Called("look", '{"at": "it"}')], size=4, gate=gate), Answer("Seen."))
    connection.response.create(model="m", input="Look.", tools=[TOOL])  # type: ignore[list-item]
    first_id = heard.until("response.function_call_arguments.delta")[0]["response"]["id"]
    gate.wait_reached()
    connection.response.steer(previous_response_id=first_id, input="a")
    heard.until("response.steer.accepted")
    gate.open()
    call_id = heard.until("response.steer.pending")[-1]["required_input"][0]["call_id"]
    connection.response.create(model="m", previous_response_id=first_id, input="no output")
    assert heard.next()["type"] == "error"
    output: Any = {"type": "function_call_output", "call_id": call_id, "output": "blue"}
    connection.response.create(model="m", previous_response_id=first_id, input=[output])
    assert text_of(heard.response()) == "Seen."
    assert said(upstream)[-2:] == [("tool", "blue"), ("user", "a")]


def user(content: Any, **members: Any) -> Json:
    return {"type": "message", "role": "user", "content": content, **members}


@covers("ws.server.response.steer.failed")
@pytest.mark.parametrize(
    "given",
    [
        "",
        [],
        None,
        7,
        [user("a"), {**user("b"), "role": "developer"}],
        [{"type": "message", "role": "assistant", "content": "a"}],
        [{"type": "function_call_output", "call_id": "c", "output": "a"}],
        [{"type": "item_reference", "id": "msg_1"}],
        [user("a", id="msg_1")],
        [user("a", status="completed")],
        [user("a", bogus=1)],
        [user([{"type": "input_audio", "input_audio": {"data": "aa", "format": "mp3"}}])],
    ],
)
def test_only_messages_of_the_user_steer(
    connection: ResponsesConnection, heard: Heard, upstream: Upstream, given: Any
) -> None:
    gate = Gate(after=5)
    upstream.script(Answer("one two three", size=4, gate=gate))
    events, first_id = begin(connection, heard)
    gate.wait_reached()
    connection.send({"type": "response.steer", "previous_response_id": first_id, "input": given})
    events += heard.until("response.steer.failed")
    failed = events[-1]
    assert (failed["error"]["type"], failed["error"]["code"]) == ("invalid_request_error", "invalid_input")
    assert failed["steer"] == {"previous_response_id": first_id, "input": given}
    gate.open()
    assert heard.whole(events + heard.until("response.completed"))["status"] == "completed"


def test_a_frame_that_steers_has_no_lane(connection: ResponsesConnection, heard: Heard) -> None:
    connection.send(
        {"type": "response.steer", "previous_response_id": "resp_1", "input": "a", "stream_id": "x"}  # type: ignore[typeddict-unknown-key]
    )
    failed = heard.next()
    assert failed["error"]["code"] == "invalid_input"
    assert "stream_id" in failed["error"]["message"]


def test_what_is_not_made_on_this_connection_cannot_be_steered(
    client: OpenAI, connection: ResponsesConnection, heard: Heard, upstream: Upstream
) -> None:
    gate = Gate(after=5)
    upstream.script(Answer("one two three", size=4, gate=gate), Answer("later"))
    events, first_id = begin(connection, heard)
    gate.wait_reached()
    with client.responses.connect() as other:
        other.response.steer(previous_response_id=first_id, input="a")
        told = Heard(other).next()
    assert (told["error"]["code"], told["sequence_number"]) == ("response_not_found", 0)
    assert told["steer"] == {"previous_response_id": first_id, "input": "a"}
    gate.open()
    heard.whole(events + heard.until("response.completed"))
    connection.response.steer(previous_response_id=first_id, input="a")
    assert heard.next()["error"]["code"] == "response_already_completed"


@pytest.mark.parametrize("kind", ["conversation", "compacts"])
def test_conversations_and_compactions_are_not_steered(
    client: OpenAI, connection: ResponsesConnection, heard: Heard, upstream: Upstream, kind: str
) -> None:
    gate = Gate(after=5)
    upstream.script(Answer("one two three", size=4, gate=gate))
    members: Json = {"context_management": [{"type": "compaction", "compact_threshold": 100_000}]}
    if kind == "conversation":
        members = {"conversation": client.conversations.create().id}
    events, first_id = begin(connection, heard, **members)
    gate.wait_reached()
    connection.response.steer(previous_response_id=first_id, input="a")
    events += heard.until("response.steer.failed")
    assert events[-1]["error"]["code"] == "steering_not_supported"
    assert kind in events[-1]["error"]["message"]
    gate.open()
    assert heard.whole(events + heard.until("response.completed"))["status"] == "completed"


def test_so_much_waits_and_no_more(connection: ResponsesConnection, heard: Heard, upstream: Upstream) -> None:
    gate = Gate(after=4)
    upstream.script(Answer(calls=[Called("look", '{"at": "it"}')], size=4, gate=gate))
    connection.response.create(model="m", input="Look.", tools=[TOOL])  # type: ignore[list-item]
    events = heard.until("response.function_call_arguments.delta")
    gate.wait_reached()
    for _ in range(MOST + 1):
        connection.response.steer(previous_response_id=events[0]["response"]["id"], input="a")
    events += heard.until("response.steer.failed")
    assert events[-1]["error"]["code"] == "too_many_pending_steers"
    gate.open()
    heard.whole(events + heard.until("response.completed"))
    assert [heard.next()["type"] for _ in range(MOST)] == ["response.steer.pending"] * MOST


def test_a_response_that_fails_gives_back_what_was_said(
    connection: ResponsesConnection, heard: Heard, upstream: Upstream
) -> None:
    gate = Gate(after=4)
    broken = Answer(calls=[Called("look", '{"at": "it"}')], size=4, gate=gate, cut_after=5)
    upstream.script(broken)
    connection.response.create(model="m", input="Look.", tools=[TOOL])  # type: ignore[list-item]
    events = heard.until("response.function_call_arguments.delta")
    first_id = events[0]["response"]["id"]
    gate.wait_reached()
    connection.response.steer(previous_response_id=first_id, input="a")
    events += heard.until("response.steer.accepted")
    steer_id = events[-1]["steer"]["id"]
    gate.open()
    events += heard.until("response.failed")
    heard.whole(events)
    failed = heard.next()
    assert (failed["type"], failed["error"]["code"]) == ("response.steer.failed", "response_not_active")
    assert failed["steer"] == {"id": steer_id, "previous_response_id": first_id, "input": "a"}
    assert failed["sequence_number"] == events[-1]["sequence_number"] + 1


def test_a_successor_that_cannot_be_gives_back_what_was_said(
    client: OpenAI, connection: ResponsesConnection, heard: Heard, upstream: Upstream
) -> None:
    gate = Gate(after=5)
    upstream.script(Answer("one two three", size=4, gate=gate))
    events, first_id = begin(connection, heard)
    gate.wait_reached()
    given: Any = [user([{"type": "input_file", "file_id": "file-nowhere"}])]
    connection.response.steer(previous_response_id=first_id, input=given)
    target = heard.whole(events + heard.until("response.incomplete"))
    failed = heard.next()
    assert (failed["type"], failed["error"]["code"]) == (
        "response.steer.failed",
        "successor_creation_failed",
    )
    assert failed["steer"]["input"] == given
    upstream.script(Answer("still here"))
    connection.response.create(model="m", input="On.", previous_response_id=target["id"])
    assert text_of(heard.response()) == "still here"
    assert said(upstream)[-1] == ("user", "On.")


def test_what_was_said_is_given_back_although_the_store_forgets_nothing(
    upstream: Upstream, tmp_path: Path
) -> None:
    gate = Gate(after=5)
    upstream.script(Answer("one two three", size=4, gate=gate))
    config = replace(config_for(upstream, tmp_path), store=Store())
    with (
        Running(config) as running,
        checked_client(running.url) as client,
        client.responses.connect() as connection,
    ):
        heard = Heard(connection)
        events, first_id = begin(connection, heard)
        gate.wait_reached()
        with closing(sqlite3.connect(tmp_path / "antiphon.db")) as database, database:
            database.execute(
                "CREATE TRIGGER kept BEFORE DELETE ON responses BEGIN SELECT RAISE(ABORT, 'kept'); END"
            )
        given: Any = [user([{"type": "input_file", "file_id": "file-nowhere"}])]
        connection.response.steer(previous_response_id=first_id, input=given)
        heard.whole(events + heard.until("response.incomplete"))
        failed = heard.next()
        assert failed["type"] == "response.steer.failed"
        assert failed["error"]["code"] == "successor_creation_failed"
        assert failed["steer"]["input"] == given
        assert heard.next()["type"] == "error"


def test_a_response_that_ends_by_itself_is_succeeded_too(upstream: Upstream, tmp_path: Path) -> None:
    with ServedModerator({}) as moderator:
        named = Moderation(base_url=f"{moderator.url}/v1", model="m1")
        config = config_for(upstream, tmp_path)
        config = replace(config, moderation=named, outbound=Outbound(allow_private=True))
        upstream.script(Answer("one two"), Answer("un deux"))
        with (
            Running(config) as running,
            checked_client(running.url) as client,
            client.responses.connect() as connection,
        ):
            heard = Heard(connection)
            moderator.hold()
            judged: Any = {"model": "omni-moderation-latest"}
            events, first_id = begin(connection, heard, moderation=judged)
            events += heard.until("response.output_item.done")
            connection.response.steer(previous_response_id=first_id, input="In French.")
            events += heard.until("response.steer.accepted")
            moderator.release()
            target = heard.whole(events + heard.until(*TERMINAL))
            successor = heard.response()
    assert (target["status"], text_of(target)) == ("completed", "one two")
    assert (successor["previous_response_id"], text_of(successor)) == (first_id, "un deux")


@pytest.fixture
def socket(server: Running) -> Iterator[ClientConnection]:
    with connect(server.url.replace("http", "ws") + "/v1/responses") as socket:
        yield socket


def test_a_lane_is_steered_and_the_others_go_on(socket: ClientConnection, upstream: Upstream) -> None:
    gates = {lane: Gate(after=5) for lane in ("left", "right")}
    for lane, gate in gates.items():
        slow = Answer("one two three", size=4, gate=gate)
        upstream.on(lambda body, lane=lane: body["messages"][-1]["content"] == lane, slow)
    upstream.default = Answer("un deux")
    ids: dict[str, str] = {}
    ended: list[tuple[str, str]] = []
    for lane in gates:
        socket.send(json.dumps({"type": "response.create", "model": "m", "input": lane, "stream_id": lane}))
    for gate in gates.values():
        gate.wait_reached()
    while len(ended) < 3:
        event = json.loads(socket.recv(timeout=60))
        if event["type"] == "response.created" and event["stream_id"] not in ids:
            ids[event["stream_id"]] = event["response"]["id"]
            if len(ids) == 2:
                frame = {"type": "response.steer", "previous_response_id": ids["left"], "input": "French"}
                socket.send(json.dumps(frame))
        if event["type"].startswith("response.steer"):
            assert (event["type"], event["stream_id"]) == ("response.steer.accepted", "left")
        if event["type"] in TERMINAL:
            ended.append((event["stream_id"], event["type"]))
            if len(ended) == 2:
                gates["right"].open()
    assert ended == [
        ("left", "response.incomplete"),
        ("left", "response.completed"),
        ("right", "response.completed"),
    ]
