"""What a server says that speaks the Responses API, read in any chunks, with members left out, and cut
anywhere."""

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.joined import joined
from tests.responses_script import (
    Json,
    call,
    reasoning_item,
    refusal,
    sealed,
    searched,
    stream,
    text,
    thought,
    written,
)

from antiphon.backends.responses.stream import ResponsesReader
from antiphon.backends.sse import Events
from antiphon.model import (
    CacheWrites,
    Delta,
    Finished,
    OpaqueDelta,
    RefusalDelta,
    SummaryDelta,
    TextDelta,
    UsageDelta,
)
from antiphon.protocol.errors import ApiError, InvalidRequest, RateLimited, UpstreamError

NAMES = frozenset({"add", "get_weather"})
COST = UsageDelta(7, 5, 2, 1, 3)
RECORDED = sorted((Path(__file__).parents[1] / "tools" / "recorded").glob("*.json"))


def read(body: bytes, cuts: Sequence[int] = (), **more: Any) -> list[Any]:
    """What a stream says that comes in pieces. Raises ApiError."""
    reader, events = ResponsesReader(NAMES, **more), Events()
    said: list[Delta] = []
    edges = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    for start, end in pairwise(edges):
        said += reader.read(events.feed(body[start:end]))
        if reader.fault is not None:
            raise reader.fault
        if reader.ended:
            return joined(said)
    return joined(said + reader.cut(events.rest()))


def told(*events: Json) -> bytes:
    return b"".join(written(events))


def opaque(at: int, encrypted: str, *summary: str, after: tuple[int, int] = (0, 0)) -> OpaqueDelta:
    return OpaqueDelta({"reasoning_items": [{**reasoning_item(at, encrypted, *summary), "after": [*after]}]})


ANSWERS: dict[str, tuple[list[Json], list[Any]]] = {
    "a text": (stream(text("Hello there", 3)), ["Hello there", COST, Finished("stop")]),
    "a refusal": (stream(refusal("No.")), [RefusalDelta("No."), COST, Finished("stop")]),
    "two calls": (
        stream(call("add", '{"a": 1}', "call_1", 3), call("add", "{}", "call_2")),
        [("add", '{"a": 1}', "call_1"), ("add", "{}", "call_2"), COST, Finished("calls")],
    ),
    "sealed reasoning": (
        stream(sealed("gAAAA", "First.", "Then."), text("Hi")),
        [
            SummaryDelta("First.", 0),
            SummaryDelta("Then.", 1),
            opaque(0, "gAAAA", "First.", "Then."),
            "Hi",
            COST,
            Finished("stop"),
        ],
    ),
    "reasoning between text and calls": (
        stream(sealed("a", "One."), text("Hi"), sealed("b", "Two."), call("add", "{}", "call_1")),
        [
            SummaryDelta("One.", 0),
            opaque(0, "a", "One."),
            "Hi",
            SummaryDelta("Two.", 1),
            opaque(2, "b", "Two.", after=(1, 0)),
            ("add", "{}", "call_1"),
            COST,
            Finished("calls"),
        ],
    ),
    "reasoning of an open model": (
        stream(thought("Hm"), text("Hi")),
        [("thought", "Hm"), "Hi", COST, Finished("stop")],
    ),
    "a tool that the server ran": (
        stream(searched("x"), text("Found.")),
        ["Found.", COST, Finished("stop")],
    ),
    "two messages": (
        stream(text("First."), searched("x"), text("Then.")),
        ["First.\n\nThen.", COST, Finished("stop")],
    ),
    "one that is cut short": (
        stream(text("Once"), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        ["Once", COST, Finished("length")],
    ),
    "one that is filtered": (
        stream(text("Once"), status="incomplete", incomplete_details={"reason": "content_filter"}),
        ["Once", COST, Finished("content_filter")],
    ),
}


@pytest.mark.parametrize(("events", "said"), ANSWERS.values(), ids=ANSWERS)
def test_a_stream_is_read(events: list[Json], said: list[Any]) -> None:
    body = told(*events)

    assert read(body) == said
    assert read(body, range(len(body))) == said


@pytest.mark.parametrize(("events", "said"), ANSWERS.values(), ids=ANSWERS)
def test_a_response_in_one_piece_says_the_same(events: list[Json], said: list[Any]) -> None:
    whole = json.dumps(events[-1]["response"]).encode()

    assert joined(ResponsesReader(NAMES).whole(whole)) == said


def without(*names: str) -> Callable[[list[Json]], list[Json]]:
    """The events without some of their members."""
    return lambda events: [_without(event, names) for event in events]


def _without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, list):
        return [_without(each, names) for each in value]
    if not isinstance(value, dict):
        return value
    return {name: _without(each, names) for name, each in value.items() if name not in names}


def without_events(*parts: str) -> Callable[[list[Json]], list[Json]]:
    return lambda events: [event for event in events if not any(part in event["type"] for part in parts)]


def with_other_ids(events: list[Json]) -> list[Json]:
    """Some servers give an item another id in each event that has it whole."""
    for number, event in enumerate(events):
        if event["type"] == "response.completed":
            for item in event["response"]["output"]:
                item["id"] = f"{item['id']}_{number}"
    return events


TOLD = [[text("Hello", 2)], [call("add", '{"a": 1}', "call_1", 3)]]
LESS: dict[str, Callable[[list[Json]], list[Json]]] = {
    "no numbers": without("sequence_number"),
    "no indexes": without("output_index", "content_index", "summary_index", "sequence_number"),
    "no item_id": without("item_id"),
    "no ids": without("item_id", "id"),
    "no start of anything": without_events("added", "created", "in_progress"),
    "no end of anything": without_events(".done"),
    "deltas and the end alone": without_events("added", "done", "created", "in_progress"),
    "no deltas": without_events(".delta"),
    "no status in the response": without("status"),
    "no output in the response": lambda events: [
        *events[:-1],
        {**events[-1], "response": _without(events[-1]["response"], ("output",))},
    ],
    "other ids at the end": with_other_ids,
    "the last event alone": lambda events: events[-1:],
}


@pytest.mark.parametrize("less", LESS.values(), ids=LESS)
@pytest.mark.parametrize("said", TOLD, ids=["text", "call"])
def test_members_that_are_missing_are_not_missed(said: Any, less: Callable[[list[Json]], list[Json]]) -> None:
    named = said[0](0)[-1]["item"]["type"] == "message"
    expected = ["Hello"] if named else [("add", '{"a": 1}', "call_1")]
    events = less(stream(*said))
    found = read(told(*events))
    assert [each for each in found if not isinstance(each, UsageDelta | Finished)] == expected


SAID = st.lists(
    st.one_of(
        st.text("aé😀\n ", min_size=1, max_size=9).map(lambda said: text(said, 2)),
        st.just(sealed("gAAAA", "So.")),
        st.just(thought("Hm ✓")),
        st.just(searched("x")),
        st.just(call("add", '{"a": 1, "b": "😀"}', "call_1", 3)),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(SAID, st.lists(st.integers(1, 6000), max_size=30), st.booleans())
def test_any_chunks_of_any_answer_say_the_same(said: list[Any], cuts: list[int], crlf: bool) -> None:
    body = told(*stream(*said))
    body = body.replace(b"\n", b"\r\n") if crlf else body

    assert read(body, cuts) == read(body)


@pytest.mark.parametrize("path", RECORDED, ids=[path.stem for path in RECORDED])
def test_a_recording_of_the_real_one_is_read(path: Path) -> None:
    """Its own tools are left out: what the model says in words is read, however it comes."""
    events = json.loads(path.read_text(encoding="utf-8"))["events"]
    ends = [at for at, event in enumerate(events) if event["type"] == "response.completed"]
    events = events[: ends[0] + 1] if ends else [*events, {"type": "response.completed"}]
    texts = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    body = told(*events)

    found = read(body)
    assert "".join(each for each in found if isinstance(each, str)) == "".join(texts)
    assert read(body, range(0, len(body), 7)) == found


def test_one_that_is_cut_off_is_a_failure() -> None:
    body = told(*stream(text("Hello", 2)))
    end = body.index(b"event: response.completed")
    for at in range(end):
        with pytest.raises(UpstreamError):
            read(body[:at])


ESCAPED = json.dumps("😀")[1:-1]
ODD: dict[str, tuple[list[bytes], list[Any]]] = {
    "an emoji in two halves": (
        [
            b'data: {"type":"response.output_text.delta","delta":"%s"}\n\n' % half.encode()
            for half in (ESCAPED[:6], ESCAPED[6:])
        ],
        ["😀"],
    ),
    "half an emoji alone": (
        [b'data: {"type":"response.output_text.delta","delta":"%s"}\n\n' % ESCAPED[:6].encode()],
        ["\ufffd"],
    ),
    "an index that is text": (
        written([{"type": "response.output_text.delta", "output_index": "0", "delta": "Hi"}]),
        ["Hi"],
    ),
    "logprobs that are none": (
        written([{"type": "response.output_text.delta", "delta": "Hi", "logprobs": {"content": None}}]),
        ["Hi"],
    ),
    "events of unknown kinds": (
        [
            *written([{"type": "response.hologram.delta", "delta": {"voxel": 1}}, {"type": "keepalive"}]),
            *written([{"type": "response.output_text.delta", "delta": "Hi"}]),
        ],
        ["Hi"],
    ),
    "arguments as an object": (
        written(
            [
                {
                    "type": "response.output_item.done",
                    "item": {"type": "function_call", "call_id": "c", "name": "add", "arguments": {"a": 1}},
                }
            ]
        ),
        [("add", '{"a":1}', "c")],
    ),
}


@pytest.mark.parametrize(("events", "said"), ODD.values(), ids=ODD)
def test_one_odd_member_kills_no_answer(events: list[bytes], said: list[Any]) -> None:
    found = read(b"".join([*events, *written([{"type": "response.completed", "response": {"usage": []}}])]))

    assert found[:-1] == said
    assert isinstance(found[-1], Finished)


def test_a_server_that_does_not_say_that_it_cut_the_answer_is_seen_through() -> None:
    body = told(*stream(text("Once upon")))

    assert read(body, most=5)[-1] == Finished("length")
    assert read(body, most=6)[-1] == Finished("stop")


def test_a_logprob_that_is_null_is_minus_infinity_and_not_certainty() -> None:
    token = {"token": "Hi", "logprob": None, "top_logprobs": [{"token": "Ho", "logprob": None}]}
    delta = {"type": "response.output_text.delta", "delta": "Hi", "logprobs": [token]}
    said = ResponsesReader(top=1).read(Events().feed(told(delta)))
    assert isinstance(said[0], TextDelta)
    (logprob,) = said[0].logprobs
    assert logprob.logprob == logprob.top_logprobs[0].logprob == -9999.0


def test_logprobs_are_those_that_were_asked_for() -> None:
    other = {"token": "Ho", "logprob": -2.0, "bytes": [72, 111]}
    token = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": [other, other]}
    delta = {"type": "response.output_text.delta", "delta": "Hi", "logprobs": [token]}
    body = told(delta, {"type": "response.completed", "response": {}})
    reader = ResponsesReader(top=1)
    said = reader.read(Events().feed(body))

    assert isinstance(said[0], TextDelta)
    assert said[0].logprobs[0].logprob == -0.5
    assert len(said[0].logprobs[0].top_logprobs) == 1
    assert reader.gave_logprobs is True


def test_writes_to_the_cache_are_told_by_how_long_they_stay() -> None:
    details = {
        "cache_write_tokens": 30,
        "cache_write_tokens_details": {"ttl_30m_tokens": 10, "ttl_12h_tokens": 20},
    }
    usage = {"input_tokens": 40, "output_tokens": 1, "input_tokens_details": details}

    assert read(told(*stream(text("Hi"), usage=usage)))[-2] == UsageDelta(
        40, 1, 0, 0, 30, CacheWrites(10, 20)
    )


FAULTS: dict[str, tuple[Json, type[ApiError]]] = {
    "a response that failed": (
        {"type": "response.failed", "response": {"status": "failed", "error": {"message": "It broke."}}},
        UpstreamError,
    ),
    "one that failed without a word": ({"type": "response.failed"}, UpstreamError),
    "one that was cancelled": ({"type": "response.cancelled"}, UpstreamError),
    "an error": (
        {"type": "error", "code": "server_error", "message": "It broke.", "param": None},
        UpstreamError,
    ),
    "too many requests": (
        {
            "type": "response.failed",
            "response": {"error": {"code": "rate_limit_exceeded", "message": "Wait."}},
        },
        RateLimited,
    ),
    "too long": (
        {"type": "error", "error": {"message": "Your input exceeds the context window of this model."}},
        InvalidRequest,
    ),
}


@pytest.mark.parametrize(("event", "kind"), FAULTS.values(), ids=FAULTS)
def test_an_error_in_the_middle_of_a_stream_is_one(event: Json, kind: type[ApiError]) -> None:
    with pytest.raises(kind):
        read(told(*stream(text("Half"))[:-1], event))


EMPTY = {
    "nothing at all": b"",
    "a start alone": told(*stream()[:2]),
    "an end alone": told({"type": "response.completed", "response": {}}),
    "a word that it died": told({"detail": "Worker died"}),
    "[DONE] alone": b"data: [DONE]\n\n",
}


@pytest.mark.parametrize("body", EMPTY.values(), ids=EMPTY)
def test_an_answer_in_which_nothing_was_said_is_a_failure(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        read(body)


def test_an_empty_message_with_a_proper_end_is_none() -> None:
    assert read(told(*stream(text("")))) == [COST, Finished("stop")]
