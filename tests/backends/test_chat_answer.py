"""Answers in one piece, words or calls alone: read without a parser, and as a parser reads them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.backends.chat_answer import in_one_piece
from antiphon.backends.chat_chunk import Chunk, decode_strictly
from antiphon.backends.chat_stream import ChatStreamParser
from antiphon.model import CallArguments, CallStarted, Finished, Function, TextDelta, UsageDelta
from antiphon.protocol.errors import ApiError

TEXTS = st.sampled_from(["Hi", "", " \n", "<think>Hm</think>Hi", " <", "[TOOL", "◁", "\ud83d", "<|start|>x"])
WORDS = st.sampled_from([None, "", "Hm", 3, []])
CALL = st.fixed_dictionaries(
    {},
    optional={
        "index": st.sampled_from([0, 1, 2, None]),
        "id": st.sampled_from(["x", "y", "z", "", None]),
        "function": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "name": st.sampled_from(["f", "g", "h", "", None]),
                "arguments": st.sampled_from(['{"a": 1}', "{}", "", None, {"a": 1}, '{"a', " {} ", "{}{}"]),
            },
        ),
        "extra_content": st.sampled_from([None, {}, {"google": {"thought_signature": "x"}}]),
        "provider_specific_fields": st.sampled_from([None, {"thought_signature": "x"}]),
    },
)
PLAIN_CALL = {"function": {"name": "f", "arguments": '{"a": 1}'}}
FUNCTIONS = (Function("f"), Function("g"))
NAMES = frozenset(("f", "g"))
MESSAGE = st.fixed_dictionaries(
    {"content": TEXTS | st.sampled_from([None, [{"type": "text", "text": "Hi"}], {}, 3])},
    optional={
        "role": st.just("assistant"),
        "reasoning_content": WORDS,
        "reasoning": WORDS,
        "refusal": WORDS,
        "audio": st.sampled_from([None, {"data": "UklG"}]),
        "tool_calls": st.none() | st.lists(CALL, max_size=3),
        "function_call": st.sampled_from([None, {"name": "f", "arguments": "{}"}]),
        "reasoning_details": st.sampled_from([None, [], [{"type": "reasoning.text", "text": "Hm"}]]),
        "thinking_blocks": st.sampled_from([None, [{"type": "thinking", "thinking": "Hm"}]]),
        "extra_content": st.sampled_from([None, {"google": {"thought_signature": "x"}}]),
    },
)
REASONS = st.sampled_from([None, "", "stop", "length", "content_filter", "tool_calls", "eos", "error", 0])
CHOICE = st.fixed_dictionaries(
    {"message": MESSAGE, "finish_reason": REASONS},
    optional={
        "delta": st.sampled_from([None, {}, {"content": "Ho"}]),
        "native_finish_reason": st.sampled_from([None, "stop", "network_error"]),
        "logprobs": st.sampled_from([None, [], {"content": [{"token": "Hi", "logprob": -1}]}]),
        "index": st.sampled_from([0, 1, None, "0"]),
    },
)
ANSWER = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(CHOICE, max_size=2) | CHOICE | st.none(),
        "usage": st.sampled_from(
            [None, [], {"prompt_tokens": 7, "completion_tokens": 2}, {"total_tokens": "9"}]
        ),
        "error": st.sampled_from([None, {}, {"message": "crashed"}]),
        "object": st.sampled_from(["chat.completion", "error"]),
        "service_tier": st.sampled_from([None, "flex", "fast", "auto", 3]),
    },
)


@settings(deadline=None)
@given(ANSWER, st.booleans())
def test_what_is_taken_for_words_or_calls_alone_is_read_as_ever(
    answer: dict[str, Any], think_tags: bool
) -> None:
    body = json.dumps(answer).encode()
    chunk = decode_strictly(body)
    alone = None if chunk is None else in_one_piece(chunk, think_tags, FUNCTIONS)
    parser = ChatStreamParser(think_tags=think_tags, names=NAMES)
    read = outcome(parser, body)
    assert outcome(ChatStreamParser(think_tags=think_tags, names=NAMES), body, chunk) == read
    assert alone in (None, read)
    assert alone is None or not parser.gave_opaque


@settings(deadline=None)
@given(st.lists(CALL, max_size=3))
def test_calls_are_found_in_one_piece_as_they_are_one_by_one(calls: list[dict[str, Any]]) -> None:
    choice = {"message": {"content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}
    body = json.dumps({"choices": [choice]}).encode()
    chunk = decode_strictly(body)
    assert chunk is not None
    assert in_one_piece(chunk, False, FUNCTIONS) in (
        None,
        outcome(ChatStreamParser(names=NAMES), body, chunk),
    )


def outcome(parser: ChatStreamParser, body: bytes, chunk: Chunk | None = None) -> object:
    """What a parser reads, or the words in which it refuses."""
    try:
        return parser.whole(body, chunk)
    except ApiError as fault:
        return str(fault)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"refusal": None, "annotations": [], "audio": None, "function_call": None, "tool_calls": []},
        {"reasoning_content": None, "reasoning": "", "provider_specific_fields": None},
    ],
)
def test_most_answers_are_words_alone(more: dict[str, Any]) -> None:
    message = {"role": "assistant", "content": "Hi", **more}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    answer = {"choices": [choice], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}
    chunk = decode_strictly(json.dumps(answer).encode())
    assert chunk is not None
    assert in_one_piece(chunk, True, ()) == [
        TextDelta("Hi"),
        UsageDelta(7, 2),
        Finished("stop"),
    ]


@pytest.mark.parametrize("indexes", [(0, 1), (None, None)])
@pytest.mark.parametrize("content", [None, ""])
def test_most_calls_stand_alone(content: str | None, indexes: tuple[int | None, ...]) -> None:
    calls = [{"index": index, "id": f"x{at}", **PLAIN_CALL} for at, index in enumerate(indexes)]
    choice = {"message": {"content": content, "tool_calls": calls}, "finish_reason": "tool_calls"}
    chunk = decode_strictly(json.dumps({"choices": [choice]}).encode())
    assert chunk is not None
    assert in_one_piece(chunk, True, FUNCTIONS) == [
        CallStarted(0, "f", "x0"),
        CallArguments(0, '{"a": 1}'),
        CallStarted(1, "f", "x1"),
        CallArguments(1, '{"a": 1}'),
        Finished("calls"),
    ]
