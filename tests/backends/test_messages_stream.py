"""What a Messages server says, read in any chunks, with odd members, and cut anywhere."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.joined import joined
from tests.messages_script import began, blocks, ended, event, redacted, stream, text, thinking, tool

from antiphon.backends.anthropic.stream import MessagesReader
from antiphon.backends.sse import Events
from antiphon.model import (
    CacheWrites,
    Delta,
    Finished,
    OpaqueDelta,
    RefusalDelta,
    UsageDelta,
)
from antiphon.protocol.errors import ApiError, InvalidRequest, RateLimited, UpstreamError

RECORDED = Path(__file__).parent / "recorded" / "messages"
NAMES = frozenset({"get_weather", "add"})

# The streams of Anthropic's reference ("Streaming messages"), byte for byte.
BASIC = (RECORDED / "basic.sse").read_bytes()
CALLED = (RECORDED / "tool_use.sse").read_bytes()
THOUGHT = (RECORDED / "thinking.sse").read_bytes()
SEALED = {
    "thinking_blocks": [
        {
            "type": "thinking",
            "thinking": "I need to find the GCD of 1071 and 462\n147 = 7 × 21",
            "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds",
            "after": [0, 0],
        }
    ]
}
DOCUMENTED: dict[str, tuple[bytes, list[Any]]] = {
    "basic": (BASIC, ["Hello!", UsageDelta(25, 15), Finished("stop")]),
    "tool use": (
        CALLED,
        [
            "Okay, let's check:",
            ("get_weather", '{"location": "San Francisco, CA"}', "toolu_01T1x1fJ34qAmk2tNTrN7Up6"),
            UsageDelta(472, 89),
            Finished("calls"),
        ],
    ),
    "thinking": (
        THOUGHT,
        [
            ("thought", "I need to find the GCD of 1071 and 462\n147 = 7 × 21"),
            OpaqueDelta(SEALED),
            "The greatest common divisor is **21**.",
            Finished("stop"),
        ],
    ),
}


def read(stream: bytes, cuts: Sequence[int] = ()) -> list[Any]:
    """What a stream says that comes in pieces: neighbouring texts are one. Raises ApiError."""
    reader, events = MessagesReader(NAMES), Events()
    said: list[Delta] = []
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    for start, end in pairwise(edges):
        said += reader.read(events.feed(stream[start:end]))
        if reader.fault is not None:
            raise reader.fault
        if reader.ended:
            return joined(said)
    return joined(said + reader.cut(events.rest()))


@pytest.mark.parametrize(("stream", "said"), DOCUMENTED.values(), ids=DOCUMENTED)
def test_a_documented_stream_is_read(stream: bytes, said: list[Any]) -> None:
    assert read(stream) == said


@pytest.mark.parametrize(("stream", "said"), DOCUMENTED.values(), ids=DOCUMENTED)
def test_it_says_the_same_byte_by_byte(stream: bytes, said: list[Any]) -> None:
    assert read(stream, range(len(stream))) == said


@pytest.mark.parametrize("stream", [each for each, _ in DOCUMENTED.values()], ids=DOCUMENTED)
def test_one_that_is_cut_anywhere_before_its_reason_is_a_failure(stream: bytes) -> None:
    end = stream.index(b"event: message_delta")
    for at in range(end):
        with pytest.raises(UpstreamError):
            read(stream[:at])


SAID = st.lists(
    st.one_of(
        st.text("aé😀\n ", min_size=1, max_size=9).map(text),
        st.builds(thinking, st.text("ab✓", min_size=1, max_size=5), st.just("c2ln"), st.just(2)),
        st.just(redacted("ZGF0YQ==")),
        st.sampled_from([("add", '{"a": 1, "b": "😀"}'), ("get_weather", "")]).map(
            lambda call: tool(*call, call_id="toolu_1", size=3)
        ),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=200, deadline=None)
@given(SAID, st.lists(st.integers(1, 4000), max_size=30), st.booleans())
def test_any_chunks_of_any_answer_say_the_same(said: list[Any], cuts: list[int], crlf: bool) -> None:
    whole = b"".join(stream(*said))
    whole = whole.replace(b"\n", b"\r\n") if crlf else whole

    assert read(whole, cuts) == read(whole)


ESCAPED = json.dumps("😀")[1:-1]
HALVES = ESCAPED[:6], ESCAPED[6:]


def halves(kind: str, member: str) -> list[bytes]:
    """A block of two deltas, each with half of a character."""
    start = {"type": "text", "text": ""} if member == "text" else {"type": "thinking", "thinking": ""}
    deltas = [
        f'{{"type":"content_block_delta","index":0,"delta":{{"type":"{kind}","{member}":"{half}"}}}}'
        for half in HALVES
    ]
    return [
        event("content_block_start", index=0, content_block=start),
        *(f"data: {delta}\n\n".encode() for delta in deltas),
    ]


STOP = ended("end_turn")
ODD: dict[str, tuple[list[bytes], list[Any]]] = {
    "no message_start": ([*blocks(text("Hi")), *STOP], ["Hi"]),
    "no start of a block": (
        [event("content_block_delta", index=0, delta={"text": "Hi"}), *STOP],
        ["Hi"],
    ),
    "deltas without an index": (
        [
            event("content_block_start", content_block={"type": "text", "text": ""}),
            event("content_block_delta", delta={"type": "text_delta", "text": "Hi"}),
            *STOP,
        ],
        ["Hi"],
    ),
    "an index that is text": (
        [
            event("content_block_start", index="0", content_block={"type": "text", "text": ""}),
            event("content_block_delta", index="0", delta={"type": "text_delta", "text": "Hi"}),
            *STOP,
        ],
        ["Hi"],
    ),
    "usage that is none": (
        [began(), *blocks(text("Hi")), event("message_delta", delta={"stop_reason": "end_turn"}, usage=[])],
        ["Hi"],
    ),
    "counts that are text or have a fraction": (
        [began(input_tokens="3"), *blocks(text("Hi")), *ended("end_turn", output_tokens=2.0)],
        ["Hi", UsageDelta(3, 2)],
    ),
    "a later usage of zeros": (
        [began(), *blocks(text("Hi")), *ended("end_turn", input_tokens=0, output_tokens=0)],
        ["Hi", UsageDelta(7, 1)],
    ),
    "events and blocks of unknown kinds": (
        [
            began(),
            event("content_block_start", index=0, content_block={"type": "hologram", "depth": 3}),
            event("content_block_delta", index=0, delta={"type": "hologram_delta", "voxel": 1}),
            event("content_block_stop", index=0),
            event("weather", mood="fine"),
            event("content_block_start", index=1, content_block={"type": "text", "text": "Hi"}),
            *STOP,
        ],
        ["Hi"],
    ),
    "an emoji in two halves": ([began(), *halves("text_delta", "text"), *STOP], ["😀"]),
    "a thought in two halves": (
        [began(), *halves("thinking_delta", "thinking"), *STOP],
        [("thought", "😀")],
    ),
    "half an emoji alone": ([began(), *halves("text_delta", "text")[:-1], *STOP], ["\ufffd"]),
    "a call whose input stands in its start": (
        [
            event(
                "content_block_start",
                index=0,
                content_block={"type": "tool_use", "id": "t", "name": "add", "input": {"a": 1}},
            ),
            *ended("tool_use"),
        ],
        [("add", '{"a":1}', "t")],
    ),
    "a call without arguments": (
        [*blocks(tool("add", "", "t")), *ended("tool_use")],
        [("add", "{}", "t")],
    ),
    "two calls of which the first has no arguments": (
        [*blocks(tool("add", "", "t"), tool("add", '{"a":1}', "u")), *ended("tool_use")],
        [("add", "{}", "t"), ("add", '{"a":1}', "u")],
    ),
    "calls under one index": (
        [
            *blocks(tool("add", '{"a":1}', "t")),
            *blocks(tool("add", '{"a":2}', "u")),
            *ended("tool_use"),
        ],
        [("add", '{"a":1}', "t"), ("add", '{"a":2}', "u")],
    ),
    "[DONE] at the end": ([began(), *blocks(text("Hi")), *STOP[:1], b"data: [DONE]\n\n"], ["Hi"]),
    "a new reason": ([began(), *blocks(text("Hi")), *ended("out_of_ink")], ["Hi", Finished("stop")]),
}


@pytest.mark.parametrize(("events", "said"), ODD.values(), ids=ODD)
def test_one_odd_member_kills_no_answer(events: list[bytes], said: list[Any]) -> None:
    found = read(b"".join(events))

    assert [each for each in found if each in said] == said
    assert isinstance(found[-1], Finished)


def test_an_answer_in_one_piece_says_the_same() -> None:
    body = {
        "type": "message",
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "s"},
            {"type": "text", "text": "Hi"},
            {"type": "tool_use", "id": "t", "name": "add", "input": {"a": 1}},
        ],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 3, "output_tokens": 4},
    }
    block = {"type": "thinking", "thinking": "Hm", "signature": "s", "after": [0, 0]}

    assert joined(MessagesReader(NAMES).whole(json.dumps(body).encode())) == [
        ("thought", "Hm"),
        OpaqueDelta({"thinking_blocks": [block]}),
        "Hi",
        ("add", '{"a":1}', "t"),
        UsageDelta(3, 4),
        Finished("calls"),
    ]


def test_what_was_read_from_the_cache_and_written_to_it_is_input_too() -> None:
    usage = {
        "input_tokens": 5,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 30,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "output_tokens_details": {"thinking_tokens": 2},
    }
    said = read(b"".join(stream(text("Hi"), usage=usage)))

    assert said[-2] == UsageDelta(135, 5, 100, 2, 30, CacheWrites(10, 20))


REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "sensitive": "content_filter",
    "something new": "stop",
}


@pytest.mark.parametrize(("reason", "told"), REASONS.items(), ids=REASONS)
def test_every_reason_to_stop_is_understood(reason: str, told: Any) -> None:
    assert read(b"".join(stream(text("Hi"), reason=reason)))[-1] == Finished(told)


def test_a_refusal_is_told_in_the_words_of_the_server() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "This may do harm."}
    said = read(b"".join(stream(text("Well, "), reason="refusal", details=details)))

    assert said == ["Well, ", RefusalDelta("This may do harm."), UsageDelta(7, 5), Finished("stop")]


def test_thoughts_stand_where_they_came() -> None:
    said = read(
        b"".join(
            stream(
                redacted("eA=="),
                text("Hi"),
                thinking("Hm", "s"),
                tool("add", "{}", "t"),
                thinking("So", "z"),
                tool("add", "{}", "u"),
                reason="tool_use",
            )
        )
    )
    sealed = [each.members["thinking_blocks"][0] for each in said if isinstance(each, OpaqueDelta)]

    assert [block["after"] for block in sealed] == [[0, 0], [1, 0], [1, 1]]


EMPTY = {
    "nothing at all": b"",
    "a start alone": began(),
    "a start and an end": began() + event("message_stop"),
    "a word that it died": event("", detail="Worker died"),
    "[DONE] alone": b"data: [DONE]\n\n",
}


@pytest.mark.parametrize("stream", EMPTY.values(), ids=EMPTY)
def test_an_answer_in_which_nothing_was_said_is_a_failure(stream: bytes) -> None:
    with pytest.raises(UpstreamError):
        read(stream)


def test_an_answer_that_is_given_up_is_a_failure() -> None:
    with pytest.raises(UpstreamError, match="abort"):
        read(b"".join(stream(text("Half"), reason="abort")))


def test_an_empty_answer_with_a_proper_reason_is_none() -> None:
    assert read(began() + b"".join(STOP)) == [UsageDelta(7, 5), Finished("stop")]


FAULTS: dict[str, tuple[Any, type[ApiError]]] = {
    "overloaded": ({"type": "overloaded_error", "message": "Overloaded"}, UpstreamError),
    "too many requests": ({"type": "rate_limit_error", "message": "Slow down"}, RateLimited),
    "too long": ({"type": "invalid_request_error", "message": "prompt is too long: 9 > 8"}, InvalidRequest),
}


@pytest.mark.parametrize(("error", "kind"), FAULTS.values(), ids=FAULTS)
def test_an_error_in_the_middle_of_a_stream_is_one(error: Any, kind: type[ApiError]) -> None:
    with pytest.raises(kind) as raised:
        read(began() + b"".join(blocks(text("Hi"))) + event("error", error=error))
    assert isinstance(raised.value, InvalidRequest) or error["message"] in raised.value.message


def test_a_pause_goes_on_behind_all_that_was_said() -> None:
    search = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
        {"type": "input_json_delta", "partial_json": '{"query": "x"}'},
    ]
    found = [{"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [{"url": "u"}]}]
    reader, events = MessagesReader(NAMES), Events()
    paused = b"".join(stream(thinking("Hm", "s"), text("Let me see. "), search, found, reason="pause_turn"))
    first = reader.read(events.feed(paused))

    assert reader.paused
    assert not any(isinstance(delta, Finished | UsageDelta) for delta in first)
    assert reader.resumed() == [
        {"type": "thinking", "thinking": "Hm", "signature": "s"},
        {"type": "text", "text": "Let me see. "},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
        found[0],
    ]
    rest = b"".join(stream(text("It is 3."), tool("add", '{"a":1}', "t"), reason="tool_use"))
    then = reader.read(Events().feed(rest))
    assert joined(then) == ["It is 3.", ("add", '{"a":1}', "t"), UsageDelta(14, 10), Finished("calls")]
