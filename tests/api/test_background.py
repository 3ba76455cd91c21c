"""Background responses over the wire: queued, polled, streamed by many, resumed, cancelled, deleted."""

import asyncio
import dataclasses
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from openai import BadRequestError, OpenAI, RateLimitError
from openai.types.responses import Response
from tests.api.asking import ADD, Json, refused
from tests.conftest import Running, checked_client, config_for
from tests.kept_at import CHOSEN
from tests.ledger import covers
from tests.scripted import Answer, Called, Gate, Upstream, refusal

from antiphon.config import Limits

TERMINAL = ("completed", "incomplete", "failed", "cancelled")
WORDS = Answer("one two three four", size=4)


def held(gate: Gate) -> Answer:
    """The answer, held back at a gate."""
    return dataclasses.replace(WORDS, gate=gate)


def begin(client: OpenAI, **members: Any) -> Response:
    response = client.responses.create(model="m", input="hi", background=True, **members)
    assert isinstance(response, Response)
    return response


def ended(client: OpenAI, response_id: str) -> Response:
    """The response when it has ended, as a client that polls finds it."""
    while True:
        response = client.responses.retrieve(response_id)
        if response.status in TERMINAL:
            return response


def streamed(http: httpx2.Client, **members: Any) -> Iterator[bytes]:
    """The frames of a new background stream."""
    body = {"model": "m", "input": "hi", "background": True, "stream": True, **members}
    with http.stream("POST", "/v1/responses", json=body) as answer:
        yield from frames(answer)


def replayed(http: httpx2.Client, response_id: str, **query: Any) -> list[bytes]:
    params = {"stream": "true", **query}
    with http.stream("GET", f"/v1/responses/{response_id}", params=params) as answer:
        assert answer.status_code == 200
        return list(frames(answer))


def frames(answer: httpx2.Response) -> Iterator[bytes]:
    held = b""
    for chunk in answer.iter_raw():
        *whole, held = (held + chunk).split(b"\n\n")
        yield from whole
    assert held == b""


def id_of(frame: bytes) -> str:
    return frame.split(b'"id":"', 1)[1].split(b'"', 1)[0].decode()


def kinds(told: list[bytes]) -> list[str]:
    return [frame.split(b"\n")[0].removeprefix(b"event: ").decode() for frame in told]


@covers("param.background", "status.queued")
def test_a_background_response_is_queued_at_once_and_made_later(client: OpenAI, upstream: Upstream) -> None:
    gate = Gate(after=0)
    upstream.script(held(gate))
    response = begin(client)
    assert (response.status, response.output, response.background) == ("queued", [], True)
    gate.wait_reached()
    assert client.responses.retrieve(response.id).status in ("queued", "in_progress")
    gate.open()
    response = ended(client, response.id)
    assert (response.status, response.output_text) == ("completed", "one two three four")
    assert response.usage is not None
    assert response.usage.total_tokens == 12


@covers("status.in_progress")
def test_while_it_is_made_it_reads_as_in_progress_without_output(client: OpenAI, upstream: Upstream) -> None:
    gate = Gate(after=3)
    upstream.script(held(gate))
    told = client.responses.create(model="m", input="hi", background=True, stream=True)
    event = next(event for event in told if event.type == "response.output_text.delta")
    assert event.sequence_number == 5
    items = list(upstream.requests)
    assert len(items) == 1
    gate.open()
    assert [event.type for event in told][-1] == "response.completed"


@covers("event.response.queued", "event.response.created")
def test_its_stream_begins_with_the_queue(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(WORDS)
    told = list(streamed(http))
    assert kinds(told)[:4] == [
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.output_item.added",
    ]
    assert b'"obfuscation"' not in b"".join(told)


@covers(
    "query.responses.retrieve.stream",
    "query.responses.retrieve.starting_after",
    "query.responses.retrieve.include_obfuscation",
)
def test_every_reader_gets_the_bytes_that_were_first_emitted(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(WORDS)
    told = list(streamed(http))
    response_id = id_of(told[0])
    assert replayed(http, response_id) == told
    assert replayed(http, response_id, include_obfuscation="true") == told
    for number in range(len(told) - 1):
        assert replayed(http, response_id, starting_after=number) == told[number + 1 :]


def test_readers_that_come_while_it_is_made_read_along(http: httpx2.Client, upstream: Upstream) -> None:
    gate = Gate(after=3)
    upstream.script(held(gate))
    first = streamed(http)
    begun = [next(first) for _ in range(6)]
    response_id = id_of(begun[0])
    read: list[list[bytes]] = []
    readers = [
        threading.Thread(target=lambda n=n: read.append(replayed(http, response_id, starting_after=n)))  # type: ignore[misc]
        for n in (0, 3)
    ]
    for reader in readers:
        reader.start()
    gate.open()
    told = [*begun, *first]
    for reader in readers:
        reader.join(60)
    assert sorted(read, key=len) == [told[4:], told[1:]]


def test_a_client_that_goes_away_does_not_end_it(client: OpenAI, upstream: Upstream) -> None:
    gate = Gate(after=3)
    upstream.script(held(gate))
    with client.responses.create(model="m", input="hi", background=True, stream=True) as told:
        created = next(iter(told))
        assert created.type == "response.created"
    gate.open()
    assert ended(client, created.response.id).output_text == "one two three four"
    assert not upstream.last.hung_up


@covers("endpoint.POST /responses/{response_id}/cancel", "status.cancelled", "event.response.cancelled")
def test_a_cancelled_response_stops_its_upstream_and_ends_its_log(
    client: OpenAI, http: httpx2.Client, upstream: Upstream
) -> None:
    gate = Gate(after=3)
    upstream.script(held(gate))
    told = streamed(http)
    begun = [next(told) for _ in range(6)]
    cancelled = client.responses.cancel(id_of(begun[0]))
    assert (cancelled.status, cancelled.error) == ("cancelled", None)
    assert cancelled.output[0].status == "incomplete"  # type: ignore[union-attr]
    upstream.last.wait_gone()
    assert kinds([*begun, *told])[-2:] == ["response.output_item.done", "response.cancelled"]
    assert client.responses.cancel(cancelled.id) == client.responses.retrieve(cancelled.id) == cancelled


def test_cancelling_what_has_ended_returns_it(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(WORDS)
    response = ended(client, begin(client).id)
    assert client.responses.cancel(response.id) == response
    assert response.status == "completed"


def test_a_response_that_was_not_to_be_streamed_cannot_be(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(WORDS)
    response = ended(client, begin(client).id)
    with refused(400, None, "stream"):
        client.responses.retrieve(response.id, stream=True)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"starting_after": "1"}, "starting_after"),
        ({"stream": "true", "starting_after": "-1"}, "starting_after"),
        ({"stream": "true", "starting_after": "x"}, "starting_after"),
        ({"stream": "maybe"}, "stream"),
    ],
)
def test_a_wrong_query_of_a_stream_is_refused(
    http: httpx2.Client, upstream: Upstream, query: Json, param: str
) -> None:
    upstream.script(WORDS)
    told = list(streamed(http))
    answer = http.get(f"/v1/responses/{id_of(told[0])}", params=query)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    "members", [{"store": False}, {"model": "", "input": "x"}, {"previous_response_id": "resp_x"}]
)
def test_what_can_be_refused_is_refused_before_it_is_queued(client: OpenAI, members: Json) -> None:
    with pytest.raises(BadRequestError):
        client.responses.create(**({"model": "m", "input": "hi", "background": True} | members))


def test_a_chain_goes_on_when_the_turn_before_is_complete(client: OpenAI, upstream: Upstream) -> None:
    gate = Gate(after=0)
    upstream.script(held(gate), Answer("And five."))
    first = begin(client)
    with refused(400, "previous_response_not_found", "previous_response_id"):
        client.responses.create(model="m", input="more", previous_response_id=first.id)
    gate.open()
    ended(client, first.id)
    second = ended(client, begin(client, previous_response_id=first.id).id)
    assert second.output_text == "And five."
    said = [message["content"] for message in upstream.last.body["messages"]]
    assert said == ["hi", "one two three four", "hi"]


def test_a_conversation_sees_a_turn_when_it_is_complete_and_is_locked_until_then(
    client: OpenAI, upstream: Upstream
) -> None:
    gate = Gate(after=0)
    upstream.script(held(gate), Answer("And five."))
    conversation = client.conversations.create(items=[{"role": "user", "content": "before"}])
    first = begin(client, conversation=conversation.id)
    items = client.conversations.items.list(conversation.id)
    assert len(items.data) == 1
    assert len(client.responses.input_items.list(first.id).data) == 2
    with refused(400, "conversation_locked", "conversation"):
        client.responses.create(model="m", input="more", conversation=conversation.id)
    gate.open()
    ended(client, first.id)
    assert len(client.conversations.items.list(conversation.id).data) == 3
    client.responses.create(model="m", input="more", conversation=conversation.id)
    said = [message["content"] for message in upstream.last.body["messages"]]
    assert said == ["before", "hi", "one two three four", "more"]


def test_a_cancelled_turn_adds_nothing_to_its_conversation(client: OpenAI, upstream: Upstream) -> None:
    gate = Gate(after=0)
    upstream.script(held(gate), Answer("Hello"))
    conversation = client.conversations.create()
    first = begin(client, conversation=conversation.id)
    gate.wait_reached()
    client.responses.cancel(first.id)
    assert client.conversations.items.list(conversation.id).data == []
    client.responses.create(model="m", input="more", conversation=conversation.id)


def test_a_response_that_is_deleted_while_it_is_made_is_gone(
    client: OpenAI, http: httpx2.Client, upstream: Upstream
) -> None:
    gate = Gate(after=3)
    upstream.script(held(gate))
    told = streamed(http)
    response_id = id_of(next(told))
    gate.wait_reached()
    assert http.delete(f"/v1/responses/{response_id}").status_code == 200
    upstream.last.wait_gone()
    assert http.get(f"/v1/responses/{response_id}").status_code == 404


def test_a_call_of_the_clients_ends_it(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("add", '{"a":1,"b":2}')]))
    response = ended(client, begin(client, tools=[ADD]).id)
    assert [item.type for item in response.output] == ["function_call"]


@covers("status.failed")
def test_an_upstream_that_fails_is_reported_by_the_response(
    client: OpenAI, http: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(refusal(503, "Overloaded."), refusal(503, "Overloaded."))
    response = ended(client, begin(client).id)
    assert (response.status, response.output) == ("failed", [])
    assert response.error is not None
    assert "Overloaded" in response.error.message
    told = list(streamed(http))
    assert kinds(told) == [
        "response.created",
        "response.queued",
        "response.in_progress",
        "error",
        "response.failed",
    ]


def test_a_model_that_is_busy_is_asked_again(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(refusal(429, "Slow down.", retry_after="0"), Answer("Hello"))
    assert ended(client, begin(client).id).output_text == "Hello"
    assert len(upstream.requests) == 2


def test_a_model_whose_quota_is_used_up_is_not(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(refusal(429, "Pay.", "insufficient_quota"), Answer("Hello"))
    assert ended(client, begin(client).id).status == "failed"


# ---- limits -----------------------------------------------------------------------------------------


@pytest.fixture
def narrow(upstream: Upstream, tmp_path: Path) -> Iterator[OpenAI]:
    """A server that carries one run at a time, and lets one wait."""
    limits = Limits(background_runs=1, background_queue=1)
    config = replace(config_for(upstream, tmp_path), limits=limits)
    with Running(config) as running, checked_client(running.url) as client:
        yield client


@pytest.fixture
def hasty(upstream: Upstream, tmp_path: Path) -> Iterator[OpenAI]:
    """A server that carries a run for a short time."""
    config = replace(config_for(upstream, tmp_path), limits=Limits(background_seconds=0.5))
    with Running(config) as running, checked_client(running.url) as client:
        yield client


def test_a_full_queue_says_when_to_come_again(narrow: OpenAI, upstream: Upstream) -> None:
    gate = Gate(after=0)
    upstream.script(held(gate))
    running = begin(narrow)
    gate.wait_reached()
    waiting = begin(narrow)
    with pytest.raises(RateLimitError) as full:
        begin(narrow)
    assert int(full.value.response.headers["retry-after"]) > 0
    assert narrow.responses.cancel(waiting.id).status == "cancelled"
    assert narrow.responses.cancel(running.id).status == "cancelled"
    assert len(upstream.requests) == 1


async def test_no_more_are_taken_than_may_run_and_wait_however_they_come(
    upstream: Upstream, tmp_path: Path
) -> None:
    gate = Gate(after=0)
    upstream.default = held(gate)
    limits = Limits(background_runs=2, background_queue=10)
    body = {"model": "m", "input": "hi", "background": True}
    with Running(replace(config_for(upstream, tmp_path), limits=limits)) as running:
        async with httpx2.AsyncClient(base_url=running.url, timeout=30) as http:
            made = await asyncio.gather(*(http.post("/v1/responses", json=body) for _ in range(40)))
    taken = [answer.status_code for answer in made].count(200)
    # PostgreSQL writes side by side: what will run at once may count, for a moment, as what waits.
    assert taken == 12 or (CHOSEN["store"] == "postgres" and 10 <= taken < 12)
    assert len(upstream.requests) <= 2


def test_a_run_that_takes_too_long_fails(hasty: OpenAI, upstream: Upstream) -> None:
    upstream.script(held(Gate(after=3)))
    response = ended(hasty, begin(hasty).id)
    assert response.status == "failed"
    assert response.error is not None
    assert "longer than" in response.error.message


def test_a_server_that_stops_hands_its_runs_over_to_the_next(upstream: Upstream, tmp_path: Path) -> None:
    config = config_for(upstream, tmp_path)
    gate = Gate(after=3)
    upstream.script(held(gate), Answer("whole again"))
    with Running(config) as running, httpx2.Client(base_url=running.url, timeout=30) as http:
        told = streamed(http)
        begun = [next(told) for _ in range(6)]
        response_id = id_of(begun[0])
        running.stop()
        begun += told
    with Running(config) as running, checked_client(running.url) as client:
        response = ended(client, response_id)
        with httpx2.Client(base_url=running.url, timeout=30) as http:
            log = replayed(http, response_id)
    assert log[: len(begun)] == begun != log
    assert [item.status for item in response.output] == ["incomplete", "completed"]  # type: ignore[union-attr]
    assert response.output_text.endswith("whole again")
    assert [message["content"] for message in upstream.last.body["messages"]] == ["hi"]
