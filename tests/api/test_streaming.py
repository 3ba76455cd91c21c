"""POST /v1/responses, answered as a stream: which events, in which order, in which frames."""

import json
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from tests.api.asking import (
    ADD,
    STRICT_ADD,
    Json,
    Like,
    called,
    events_of,
    fault,
    message,
    refused,
    response,
    some_id,
    usage,
    whole,
    wholes,
)
from tests.conftest import Running
from tests.ledger import covers
from tests.scripted import Answer, Called, Gate, Upstream

Stream = Callable[..., list[Json]]


@pytest.fixture
def stream(client: OpenAI) -> Stream:
    """All events of a streamed response of the model `m`."""

    def create(given: Any = "Hi", **members: Any) -> list[Json]:
        return wholes(client.responses.create(model="m", input=given, stream=True, **members))

    return create


def types(events: list[Json]) -> list[str]:
    return [event["type"] for event in events]


def of_type(events: list[Json], kind: str) -> list[Json]:
    return [event for event in events if event["type"] == kind]


# ---- the order of events ----------------------------------------------------------------------------

BEGIN = ["response.created", "response.in_progress"]
MESSAGE = [
    "response.output_item.added",
    "response.content_part.added",
    *["response.output_text.delta"] * 2,
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
]
REFUSAL = [
    "response.output_item.added",
    "response.content_part.added",
    *["response.refusal.delta"] * 2,
    "response.refusal.done",
    "response.content_part.done",
    "response.output_item.done",
]
CALL = [
    "response.output_item.added",
    *["response.function_call_arguments.delta"] * 2,
    "response.function_call_arguments.done",
    "response.output_item.done",
]
THOUGHT = [
    "response.output_item.added",
    "response.content_part.added",
    *["response.reasoning_text.delta"] * 2,
    "response.reasoning_text.done",
    "response.content_part.done",
    "response.output_item.done",
]
SUMMARY = [
    "response.output_item.added",
    "response.reasoning_summary_part.added",
    *["response.reasoning_summary_text.delta"] * 2,
    "response.reasoning_summary_text.done",
    "response.reasoning_summary_part.done",
    "response.output_item.done",
]
END = ["response.completed"]

ORDERS: dict[str, tuple[Answer, Json, list[str]]] = {
    "nothing": (Answer(""), {}, [*BEGIN, *END]),
    "text": (Answer("Hello!", size=3), {}, [*BEGIN, *MESSAGE, *END]),
    "a refusal": (Answer(refusal="I will not", size=5), {}, [*BEGIN, *REFUSAL, *END]),
    "a call": (Answer(calls=[Called("add", '{"a":1}')], size=4), {}, [*BEGIN, *CALL, *END]),
    "parallel calls": (
        Answer(calls=[Called("add", '{"a":1}'), Called("add", '{"a":2}')], size=4),
        {},
        [*BEGIN, *CALL, *CALL, *END],
    ),
    "reasoning": (Answer("Hello!", reasoning="I see.", size=3), {}, [*BEGIN, *THOUGHT, *MESSAGE, *END]),
    "a summary": (
        Answer("Hello!", reasoning="I see.", size=3),
        {"reasoning": {"summary": "auto"}},
        [*BEGIN, *SUMMARY, *MESSAGE, *END],
    ),
    "everything": (
        Answer("Hello!", reasoning="I see.", calls=[Called("add", '{"a":1}')], size=4),
        {},
        [*BEGIN, *THOUGHT, *MESSAGE, *CALL, *END],
    ),
    "text that is cut off": (
        Answer("Hello!", size=3, finish="length"),
        {},
        [*BEGIN, *MESSAGE, "response.incomplete"],
    ),
    "a call that is cut off": (
        Answer(calls=[Called("add", '{"a":1')], size=3, finish="length"),
        {},
        [*BEGIN, *CALL, "response.incomplete"],
    ),
    "what is filtered": (
        Answer("Hello!", size=3, finish="content_filter"),
        {},
        [*BEGIN, *MESSAGE, "response.incomplete"],
    ),
    "what begins and then fails": (
        Answer(raw=[b'data: {"error": {"message": "Out of memory"}}\n\n']),
        {},
        [*BEGIN, "error", "response.failed"],
    ),
}


@covers(
    "event.response.created",
    "event.response.in_progress",
    "event.response.completed",
    "event.response.incomplete",
    "event.response.failed",
    "event.response.output_item.added",
    "event.response.output_item.done",
    "event.response.content_part.added",
    "event.response.content_part.done",
    "event.response.output_text.delta",
    "event.response.output_text.done",
    "event.response.refusal.delta",
    "event.response.refusal.done",
    "event.response.reasoning_text.delta",
    "event.response.reasoning_text.done",
    "event.response.reasoning_summary_part.added",
    "event.response.reasoning_summary_part.done",
    "event.response.reasoning_summary_text.delta",
    "event.response.reasoning_summary_text.done",
    "event.response.function_call_arguments.delta",
    "event.response.function_call_arguments.done",
    "event.response.function_call_arguments.done.name",
    "event.error",
)
@pytest.mark.parametrize(("answer", "members", "order"), ORDERS.values(), ids=ORDERS.keys())
def test_events_come_in_the_order_of_what_is_emitted(
    http: httpx2.Client, upstream: Upstream, answer: Answer, members: Json, order: list[str]
) -> None:
    upstream.script(answer)

    body = {"model": "m", "input": "Hi", "stream": True, "tools": [ADD], **members}
    told = http.post("/v1/responses", json=body)

    events = events_of(told.content)
    assert types(events) == order
    assert [event["sequence_number"] for event in events] == list(range(len(order)))


def test_every_event_of_a_text_names_its_place(stream: Stream, upstream: Upstream) -> None:
    upstream.script(Answer("Hello!", size=3, reasoning="I see."))

    events = stream(stream_options={"include_obfuscation": False})[9:-1]

    (item_id,) = {event["item_id"] for event in events if "item_id" in event}
    place = {"item_id": item_id, "output_index": 1, "content_index": 0}
    empty = {"type": "output_text", "annotations": [], "text": "", "logprobs": []}
    assert item_id == some_id("msg")
    assert [{k: v for k, v in event.items() if k != "sequence_number"} for event in events] == [
        {
            "type": "response.output_item.added",
            "output_index": 1,
            "item": message("", id=item_id, status="in_progress", content=[]),
        },
        {"type": "response.content_part.added", **place, "part": empty},
        {"type": "response.output_text.delta", **place, "delta": "Hel", "logprobs": []},
        {"type": "response.output_text.delta", **place, "delta": "lo!", "logprobs": []},
        {"type": "response.output_text.done", **place, "text": "Hello!", "logprobs": []},
        {"type": "response.content_part.done", **place, "part": empty | {"text": "Hello!"}},
        {"type": "response.output_item.done", "output_index": 1, "item": message("Hello!", id=item_id)},
    ]


def test_every_event_of_a_call_names_its_place(stream: Stream, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("add", '{"a":1}', id="call_x")], size=4))

    events = stream(tools=[ADD], stream_options={"include_obfuscation": False})[2:-1]

    item_id = events[0]["item"]["id"]
    place = {"item_id": item_id, "output_index": 0}
    assert [{k: v for k, v in event.items() if k != "sequence_number"} for event in events] == [
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "item": called("add", "", "call_x", id=item_id, status="in_progress"),
        },
        {"type": "response.function_call_arguments.delta", **place, "delta": '{"a"'},
        {"type": "response.function_call_arguments.delta", **place, "delta": ":1}"},
        {"type": "response.function_call_arguments.done", **place, "arguments": '{"a":1}'}
        | ({"name": "add"} if "name" in events[3] else {}),
        {
            "type": "response.output_item.done",
            "output_index": 0,
            "item": called("add", '{"a":1}', "call_x", id=item_id),
        },
    ]


def test_snapshots_show_how_far_it_is(stream: Stream, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))

    events = stream()

    begun = response(status="in_progress", completed_at=None, service_tier="auto", usage=None)
    snapshots = [event["response"] for event in events if "response" in event]
    assert snapshots == [begun, begun, response(message("Hello"))]
    assert len({snapshot["id"] for snapshot in snapshots}) == 1


def test_logprobs_come_with_the_deltas_and_again_with_the_whole(server: Running, upstream: Upstream) -> None:
    """Past the checks of the transport: the SDK's types of these two events know no `bytes`."""
    upstream.script(Answer("Hello!", size=3))
    asked = {"include": ["message.output_text.logprobs"], "top_logprobs": 1, "stream": True}

    told = httpx2.post(f"{server.url}/v1/responses", json={"model": "m", "input": "Hi", **asked})

    events = events_of(told.content)
    deltas = [event["logprobs"] for event in of_type(events, "response.output_text.delta")]
    (done,) = of_type(events, "response.output_text.done")
    assert [[token["token"] for token in delta] for delta in deltas] == [["Hel"], ["lo!"]]
    assert done["logprobs"] == [token for delta in deltas for token in delta]


@covers("include.reasoning.encrypted_content")
def test_sealed_reasoning_comes_with_the_finished_item(stream: Stream, upstream: Upstream) -> None:
    upstream.script(Answer("Hello", reasoning="I see."))

    events = stream(store=False, include=["reasoning.encrypted_content"])

    done = of_type(events, "response.output_item.done")[0]["item"]
    assert done["encrypted_content"] == Like("[A-Za-z0-9_=-]{40,}")
    assert events[-1]["response"]["output"][0] == done


# ---- frames -----------------------------------------------------------------------------------------


def test_a_stream_is_frames_of_two_lines_and_nothing_else(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer("One\ntwo\r\n\n\u2028three", size=2))

    told = http.post("/v1/responses", json={"model": "m", "input": "Hi", "stream": True})

    assert told.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "content-length" not in told.headers
    *frames, rest = told.content.split(b"\n\n")
    assert rest == b""
    for frame in frames:
        event, data = frame.split(b"\n")
        assert event == b"event: " + json.loads(data.removeprefix(b"data: "))["type"].encode()
        assert data.startswith(b"data: {")
    assert b"[DONE]" not in told.content
    assert b"\r" not in told.content


def test_deltas_are_emitted_as_they_come(client: OpenAI, upstream: Upstream) -> None:
    gate = Gate(after=2)
    upstream.script(Answer("Hello!", size=3, gate=gate))

    told = client.responses.create(model="m", input="Hi", stream=True)
    seen = [next(told).type for _ in range(5)]
    gate.wait_reached()
    gate.open()

    assert seen[-1] == "response.output_text.delta"
    assert [event.type for event in told][-1] == "response.completed"


def test_a_stream_begins_before_the_model_says_anything(client: OpenAI, upstream: Upstream) -> None:
    gate = Gate(after=0)
    upstream.script(Answer("Hello", gate=gate))

    told = client.responses.create(model="m", input="Hi", stream=True)
    seen = [next(told).type, next(told).type]
    gate.open()

    assert seen == ["response.created", "response.in_progress"]
    assert [event.type for event in told][-1] == "response.completed"


@covers("param.stream_options", "param.stream_options.include_obfuscation")
@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_obfuscation": True}}])
def test_obfuscation_makes_deltas_of_a_tokens_length_look_alike(
    stream: Stream, upstream: Upstream, options: Json
) -> None:
    words = ["I", "am", "an", "incomprehensible", "counterrevolutionary", "word"]
    upstream.script(Answer(raw=[chunk(content=word) for word in words] + [chunk(finish="stop"), DONE]))

    deltas = of_type(stream(**options), "response.output_text.delta")

    assert [delta["delta"] for delta in deltas] == words
    assert {len(delta["delta"]) + len(delta["obfuscation"]) for delta in deltas} <= {16, 32}
    assert len({delta["obfuscation"][:4] for delta in deltas}) > 1


DONE = b"data: [DONE]\n\n"


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    """A chunk of the upstream's."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("answer", "members", "delta"),
    [
        (Answer("Hi"), {}, "response.output_text.delta"),
        (Answer(refusal="No"), {}, "response.refusal.delta"),
        (Answer(calls=[Called("add", "{}")]), {}, "response.function_call_arguments.delta"),
        (Answer(reasoning="Hm"), {}, "response.reasoning_text.delta"),
        (Answer(reasoning="Hm"), {"reasoning": {"summary": "auto"}}, "response.reasoning_summary_text.delta"),
    ],
)
def test_deltas_and_they_alone_are_obfuscated(
    stream: Stream, upstream: Upstream, answer: Answer, members: Json, delta: str
) -> None:
    upstream.script(answer)

    events = stream(tools=[ADD], **members)

    assert {event["type"] for event in events if "obfuscation" in event} == {delta}


@covers("param.stream_options", "param.stream_options.include_obfuscation")
def test_obfuscation_can_be_turned_off(stream: Stream, upstream: Upstream) -> None:
    upstream.script(Answer("Hello", reasoning="I see.", calls=[Called("add")]))

    events = stream(tools=[ADD], stream_options={"include_obfuscation": False})

    assert [event for event in events if "obfuscation" in event] == []


@covers("error.stream_options_without_stream")
@pytest.mark.parametrize("members", [{}, {"stream": False}, {"stream": None}])
def test_stream_options_without_a_stream_are_refused(http: httpx2.Client, members: Json) -> None:
    body = {"model": "m", "input": "Hi", "stream_options": {"include_obfuscation": False}, **members}

    told = http.post("/v1/responses", json=body)

    assert fault(told) == (400, "invalid_request_error", None, "stream_options")


def test_what_is_refused_before_it_begins_is_no_stream(client: OpenAI) -> None:
    with refused(400, "previous_response_not_found", "previous_response_id"):
        client.responses.create(model="m", input="Hi", stream=True, previous_response_id="resp_x")


# ---- the SDK's own accumulator ----------------------------------------------------------------------


def test_the_accumulator_takes_a_text(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello!", size=3))

    with client.responses.stream(model="m", input="Hi") as events:
        deltas = [event.snapshot for event in events if event.type == "response.output_text.delta"]
        final = events.get_final_response()

    assert deltas == ["Hel", "Hello!"]
    assert final.output_text == "Hello!"


def test_the_accumulator_takes_parallel_calls(client: OpenAI, upstream: Upstream) -> None:
    calls = [Called("add", '{"a":1,"b":2}'), Called("add", '{"a":3,"b":4}')]
    upstream.script(Answer("I add.", reasoning="Two sums.", calls=calls, size=4))

    with client.responses.stream(model="m", input="Hi", tools=[STRICT_ADD]) as events:  # type: ignore[list-item]
        for _ in events:
            pass
        final = events.get_final_response()

    assert [item.type for item in final.output] == ["reasoning", "message", "function_call", "function_call"]
    assert [item.parsed_arguments for item in final.output[2:]] == [  # type: ignore[union-attr]
        {"a": 1, "b": 2},
        {"a": 3, "b": 4},
    ]


class Place(BaseModel):
    city: str


def test_the_accumulator_parses_a_pydantic_model(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer('{"city": "Rome"}', size=3))

    with client.responses.stream(model="m", input="Where?", text_format=Place) as events:
        final = events.get_final_response()

    assert final.output_parsed == Place(city="Rome")


async def test_the_asynchronous_client_reads_a_stream(aclient: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello!", size=3), Answer("Bye"))

    events = await aclient.responses.create(model="m", input="Hi", stream=True)
    seen = [event.type async for event in events]
    plain = await aclient.responses.create(model="m", input="Hi")

    assert seen == [*BEGIN, *MESSAGE, *END]
    assert plain.output_text == "Bye"


async def test_the_asynchronous_accumulator_takes_a_stream(aclient: AsyncOpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello!", size=3, calls=[Called("add", '{"a":1,"b":2}')]))

    async with aclient.responses.stream(model="m", input="Hi", tools=[STRICT_ADD]) as events:  # type: ignore[list-item]
        final = await events.get_final_response()

    assert final.output_text == "Hello!"


# ---- what goes wrong --------------------------------------------------------------------------------


BROKEN = {"error": {"message": "Out of memory", "code": 500}}


@covers("event.error", "event.response.failed", "status.failed", "failure.server_error")
def test_an_error_in_mid_stream_is_reported_in_both_forms(http: httpx2.Client, upstream: Upstream) -> None:
    gate = Gate(after=2)
    upstream.script(Answer("Hel", error=BROKEN, gate=gate))

    body = b""
    with http.stream("POST", "/v1/responses", json={"model": "m", "input": "Hi", "stream": True}) as told:
        for piece in told.iter_bytes():
            body += piece
            if b"response.output_text.delta" in piece:
                gate.open()

    *begun, error, failed = events_of(body)
    assert types(begun) == [*BEGIN, *MESSAGE[:3], *MESSAGE[4:]]
    detail = {"code": "server_error", "message": "The upstream failed: Out of memory", "param": None}
    assert error == {
        "type": "error",
        "sequence_number": failed["sequence_number"] - 1,
        "error": {"type": "server_error", **detail},
        **detail,
    }
    assert failed["response"] == response(
        message("Hel", status="incomplete"),
        status="failed",
        completed_at=None,
        error={"code": "server_error", "message": "The upstream failed: Out of memory"},
        usage=None,
    )


@pytest.mark.parametrize("end", [f"data: {json.dumps(BROKEN)}", "data: nonsense"])
def test_what_was_said_before_an_error_is_emitted_however_it_arrives(
    http: httpx2.Client, upstream: Upstream, end: str
) -> None:
    upstream.script(Answer(raw=[chunk(content="Hel") + end.encode() + b"\n\n"]))

    told = http.post("/v1/responses", json={"model": "m", "input": "Hi", "stream": True})

    assert "response.output_text.delta" in types(events_of(told.content))


def test_the_client_raises_at_an_error_in_mid_stream(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hel", error=BROKEN))

    with pytest.raises(openai.APIError, match="Out of memory"):
        list(client.responses.create(model="m", input="Hi", stream=True))


def test_a_failed_stream_is_kept(client: OpenAI, http: httpx2.Client, upstream: Upstream) -> None:
    upstream.script(Answer("Hel", cut_after=2))
    told = http.post("/v1/responses", json={"model": "m", "input": "Hi", "stream": True})

    failed = events_of(told.content)[-1]["response"]

    assert whole(client.responses.retrieve(failed["id"])) == failed
    assert failed["status"] == "failed"


def test_usage_reported_before_a_cut_is_kept(stream: Stream, upstream: Upstream) -> None:
    upstream.script(Answer("Hello", finish="length"))

    assert stream()[-1]["response"]["usage"] == usage()


@covers(
    "event.response.audio.delta",
    "event.response.audio.done",
    "event.response.audio.transcript.delta",
    "event.response.audio.transcript.done",
)
def test_what_an_upstream_says_aloud_is_emitted_and_its_words_are_text(
    client: OpenAI, upstream: Upstream
) -> None:
    pieces = [chunk(audio={"data": "AAAA", "transcript": "Hel"}), chunk(audio={"data": "BBBB"})]
    last = chunk(audio={"transcript": "lo"}) + chunk(finish="stop") + b"data: [DONE]\n\n"
    upstream.script(Answer(raw=[*pieces, last]))

    events = list(client.responses.create(model="m", input="Hi", stream=True))

    sound = [event.delta for event in events if event.type == "response.audio.delta"]
    words = [event.delta for event in events if event.type == "response.audio.transcript.delta"]
    assert (sound, words) == (["AAAA", "BBBB"], ["Hel", "lo"])
    assert [event.type for event in events[-3:]] == [
        "response.audio.done",
        "response.audio.transcript.done",
        "response.completed",
    ]
    assert events[-1].response.output_text == "Hello"  # type: ignore[union-attr]
