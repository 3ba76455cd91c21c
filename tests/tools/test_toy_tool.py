"""The test of the house: a hosted tool is one file and one row, and what the core promises holds for it."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from openai import OpenAI
from tests.api.asking import Json, whole
from tests.api.test_background import begin, ended
from tests.conftest import Running, checked_client, config_for
from tests.killed import Killed
from tests.ledger import covers
from tests.scripted import Answer, Called, Gate, Upstream
from tests.tools import toy_tool
from tests.tools.using import ask, calls, emitted, offered, read, stream

from antiphon.tools.registry import REGISTRY, ROWS

TOOL: Json = {"type": "web_search_preview"}
SOURCES = "web_search_call.action.sources"
LOOK = calls("look_up", '{"query": "boats"}', 5)
PATIENCE = 120.0


class Shelf:
    """What the toy tool looks things up on. `close` holds answers back until `open`."""

    def __init__(self, path: Path) -> None:
        self.asked: list[str] = []
        self.reached = threading.Semaphore(0)
        self._open = threading.Event()
        self._open.set()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.open()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(PATIENCE)

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def wait_asked(self) -> None:
        assert self.reached.acquire(timeout=PATIENCE), "nobody asked"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            query = json.loads(connection.makefile().readline())
            self.asked.append(query)
            self.reached.release()
            assert self._open.wait(PATIENCE)
            found = None if query == "nothing" else f"https://shelf.example/{query}"
            connection.sendall(json.dumps(found).encode() + b"\n")


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    path = tmp_path / "shelf.sock"
    monkeypatch.setenv(toy_tool.SOCKET, str(path))
    with Shelf(path) as shelf:
        yield shelf


@pytest.fixture
def client(upstream: Upstream, tmp_path: Path, shelf: Shelf) -> Iterator[OpenAI]:
    REGISTRY.add(toy_tool.ROW)
    try:
        with Running(config_for(upstream, tmp_path)) as running, checked_client(running.url) as client:
            yield client
    finally:
        for row in ROWS:
            REGISTRY.add(row)


# ---- what is shown of it ----


@covers("include.web_search_call.action.sources")
def test_its_sources_are_shown_to_who_includes_them(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(*[LOOK, Answer("Boats float.")] * 4)

    def action(answer: Any) -> Json:
        return dict(whole(answer)["output"][0]["action"])

    bare, known = (
        {"type": "search", "query": "boats"},
        [{"type": "url", "url": "https://shelf.example/boats"}],
    )
    full = {**bare, "sources": known}
    made = client.responses.create(model="m", input="Hi", tools=[TOOL])  # type: ignore[list-item]
    assert action(made) == action(client.responses.retrieve(made.id)) == bare
    assert action(client.responses.retrieve(made.id, include=[SOURCES])) == full
    answer = ask(client, TOOL, include=[SOURCES])
    assert answer["output"][0]["action"] == full
    events = stream(client, TOOL)
    done = next(event["item"] for event in events if event["type"] == "response.output_item.done")
    assert done["action"] == events[-1]["response"]["output"][0]["action"] == bare
    assert read(upstream)[-1]["content"] == "[1] https://shelf.example/boats", (
        "the model reads what is hidden"
    )
    with client.responses.connect() as connection:
        connection.response.create(model="m", input="Hi", tools=[TOOL])  # type: ignore[list-item]
        ended = next(event for event in connection if event.type == "response.completed")
    assert action(ended.response) == bare


@covers("include.web_search_call.action.sources")
def test_a_background_stream_shows_what_its_request_includes(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(*[LOOK, Answer("Boats float.")] * 2)

    for include, has in (([], False), ([SOURCES], True)):
        events = stream(client, TOOL, background=True, include=include)
        done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        for item in (done[0], events[-1]["response"]["output"][0]):
            assert ("sources" in item["action"]) is has


# ---- what it does --------------------------------------------------------------------------------------


def test_it_works_on_the_server_and_says_how_far_it_is(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(LOOK, Answer("Boats float."))

    events = stream(client, TOOL, include=[SOURCES])

    assert list(offered(upstream)) == ["look_up"]
    assert emitted(events)[:5] == [
        "output_item.added",
        "web_search_call.in_progress",
        "web_search_call.searching",
        "web_search_call.completed",
        "output_item.done",
    ]
    call, message = events[-1]["response"]["output"]
    assert (call["status"], call["action"]["sources"]) == (
        "completed",
        [{"type": "url", "url": "https://shelf.example/boats"}],
    )
    assert read(upstream)[-1]["content"] == "[1] https://shelf.example/boats"
    assert message["content"][0]["text"] == "Boats float."


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_it_annotates_what_the_model_writes_next(client: OpenAI, upstream: Upstream, size: int) -> None:
    upstream.script(LOOK, Answer("Boats float [1]. So do [9]ducks [x].", size=size))

    events = stream(client, TOOL)

    (part,) = events[-1]["response"]["output"][1]["content"]
    assert part["text"] == "Boats float . So do ducks [x]."
    (citation,) = part["annotations"]
    assert (citation["url"], citation["start_index"]) == ("https://shelf.example/boats", 12)
    assert "output_text.annotation.added" in emitted(events)
    assert "".join(event["delta"] for event in events if event["type"].endswith("text.delta")) == part["text"]


def test_what_is_held_back_at_the_end_is_text(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(LOOK, Answer("Boats [1", size=1), Answer("ok"))

    answer = ask(client, TOOL)

    assert answer["output"][1]["content"][0]["text"] == "Boats [1"


def test_the_model_reads_its_own_marks_again(client: OpenAI, upstream: Upstream) -> None:
    again = Answer("Boats float [1].", calls=[Called("look_up", '{"query": "ducks"}')])
    upstream.script(LOOK, again, Answer("Ducks too [2]."))

    answer = ask(client, TOOL)

    assert [message["content"] for message in read(upstream)][3:] == [
        "Boats float [1].",
        "[2] https://shelf.example/ducks",
    ]
    urls = [item["content"][0]["annotations"][0]["url"] for item in answer["output"] if "content" in item]
    assert urls == ["https://shelf.example/boats", "https://shelf.example/ducks"]


def test_what_was_looked_up_is_cited_in_a_later_turn_too(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(LOOK, Answer("ok"), Answer("Boats float [1]."))
    first = ask(client, TOOL)

    second = ask(client, TOOL, previous_response_id=first["id"])

    (citation,) = second["output"][0]["content"][0]["annotations"]
    assert citation["url"] == "https://shelf.example/boats"


def test_what_is_not_there_is_a_failed_call_and_the_model_goes_on(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("look_up", '{"query": "nothing"}'), Answer("I do not know."))

    events = stream(client, TOOL)

    assert emitted(events)[:4] == [
        "output_item.added",
        "web_search_call.in_progress",
        "web_search_call.searching",
        "output_item.done",
    ]
    assert events[-1]["response"]["output"][0]["status"] == "failed"


def test_calls_run_at_once_and_come_out_one_after_another(
    client: OpenAI, upstream: Upstream, shelf: Shelf
) -> None:
    both = [Called("look_up", '{"query": "boats"}'), Called("look_up", '{"query": "ducks"}')]
    upstream.script(Answer(calls=both), Answer("ok"))
    shelf.close()
    seen: list[Any] = []
    events = client.responses.create(model="m", input="Hi", tools=[TOOL], stream=True)  # type: ignore[list-item]
    for event in events:
        seen.append(event)
        if event.type == "response.web_search_call.searching" and event.output_index == 0:
            shelf.wait_asked()
            shelf.wait_asked()  # the second call is on its way though nothing of it is emitted
            assert all(getattr(each, "output_index", 0) == 0 for each in seen)
            shelf.open()

    output = seen[-1].response.output
    assert sorted(shelf.asked) == ["boats", "ducks"]
    assert [item.action.query for item in output[:2]] == ["boats", "ducks"]


def test_a_tool_that_breaks_costs_its_own_call_and_no_response(
    client: OpenAI, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(toy_tool.SOCKET)
    upstream.script(LOOK, Answer("Without it, then."))

    answer = ask(client, TOOL)

    assert [item["status"] for item in answer["output"]] == ["incomplete", "completed"]
    assert "the tool failed" in read(upstream)[-1]["content"]


def test_a_call_that_runs_when_the_response_is_cancelled_is_closed(
    client: OpenAI, upstream: Upstream, shelf: Shelf
) -> None:
    upstream.script(LOOK)
    shelf.close()
    response = begin(client, tools=[TOOL])
    shelf.wait_asked()

    client.responses.cancel(response.id)

    cancelled = ended(client, response.id)
    assert (cancelled.status, cancelled.output[0].status) == ("cancelled", "incomplete")  # type: ignore[union-attr]


# ---- it survives ---------------------------------------------------------------------------------------


@pytest.fixture
def killed(upstream: Upstream, tmp_path: Path, shelf: Shelf) -> Iterator[Killed]:
    server = Killed(tmp_path, upstream, "tests.tools.toy_server")
    server.start()
    try:
        yield server
    finally:
        server.kill()


def read_until(client: OpenAI, kind: str) -> str:
    """The id of a background response that was read until an event of the kind: that is durable."""
    response_id = ""
    events = client.responses.create(model="m", input="Hi", tools=[TOOL], background=True, stream=True)  # type: ignore[list-item]
    with events:
        for event in events:
            response_id = response_id or event.response.id  # type: ignore[union-attr]
            if event.type == kind:
                return response_id
    raise AssertionError("the stream ended")


def test_a_call_that_a_kill_interrupted_is_closed_and_the_model_goes_on(
    killed: Killed, upstream: Upstream, shelf: Shelf
) -> None:
    upstream.script(LOOK, LOOK, Answer("Boats float [1]."))
    shelf.close()
    with checked_client(killed.url) as client:
        response_id = read_until(client, "response.web_search_call.searching")
        shelf.wait_asked()
        killed.kill()
        shelf.open()
        killed.start()

        done = ended(client, response_id)

    statuses = [(item.type, item.status) for item in done.output]  # type: ignore[union-attr]
    assert statuses == [
        ("web_search_call", "incomplete"),
        ("web_search_call", "completed"),
        ("message", "completed"),
    ]
    assert shelf.asked == ["boats", "boats"]
    (citation,) = done.output[2].content[0].annotations  # type: ignore[union-attr]
    assert citation.url == "https://shelf.example/boats"


def test_what_was_looked_up_before_a_kill_is_not_looked_up_again_and_still_cited(
    killed: Killed, upstream: Upstream, shelf: Shelf
) -> None:
    gate = Gate(after=0)
    upstream.script(LOOK, Answer("never", gate=gate), Answer("Boats float [1]."))
    with checked_client(killed.url) as client:
        response = begin(client, tools=[TOOL])
        gate.wait_reached()
        killed.kill()
        killed.start()

        done = ended(client, response.id)

    assert shelf.asked == ["boats"]
    (citation,) = done.output[1].content[0].annotations  # type: ignore[union-attr]
    assert (done.output_text, citation.url) == ("Boats float .", "https://shelf.example/boats")


# ---- how small it is -----------------------------------------------------------------------------------


def test_nothing_else_knows_of_it() -> None:
    """One file and one row. What it imports are types that all tools share."""
    sources = Path(__file__).parents[2] / "src"
    mentions = [file for file in sources.rglob("*.py") if "look_up" in file.read_text(encoding="utf-8")]
    assert mentions == []
    shared = {"base", "context", "emitter", "messages", "partial", "registry"}
    lines = Path(toy_tool.__file__).read_text(encoding="utf-8").splitlines()
    imported = {line.split()[1] for line in lines if line.startswith("from antiphon.tools.")}
    assert imported == {f"antiphon.tools.{name}" for name in shared}
