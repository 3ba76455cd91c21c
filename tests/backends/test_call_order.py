"""Calls in the text beside those that the server knew, and what else an answer has."""

from typing import Any

import pytest
from tests.backends.sifting import STOP, indexes, said, turn
from tests.backends.written import ALONE, MARKED

from antiphon.backends.text_calls import TextCalls
from antiphon.model import CallArguments, CallStarted, Delta, Finished, ReasoningDelta, TextDelta, UsageDelta
from antiphon.protocol.content import Logprob

HERMES = MARKED["Hermes"]


def native(index: int, name: str, *pieces: str) -> list[Delta]:
    return [CallStarted(index, name, f"call_{index}"), *(CallArguments(index, piece) for piece in pieces)]


def sift(*deltas: Delta, size: int = 1) -> list[Delta]:
    calls = TextCalls(turn())
    batches = [deltas[at : at + size] for at in range(0, len(deltas), size)]
    return [delta for batch in batches for delta in calls.feed(batch)]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_numbers_of_calls_do_not_collide(size: int) -> None:
    text = TextDelta(HERMES([("f", {"days": 1}), ("f", {"days": 2})]))
    found = sift(*native(0, "g", "{}"), text, *native(1, "g", '{"a"', ":1}"), STOP, size=size)
    assert indexes(found) == [(0, "g"), (1, "f"), (2, "f"), (3, "g")]
    assert found[-3:] == [CallArguments(3, '{"a"'), CallArguments(3, ":1}"), Finished("calls")]


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize("written", [HERMES, ALONE["objects"]])
def test_a_call_that_the_server_knew_is_not_made_again_from_the_text(written: Any, size: int) -> None:
    text = TextDelta(written([("f", {"days": 1, "city": "a"})]))
    known = native(0, "f", '{"city":"a",', '"days":1}')
    end = Finished("calls")
    assert sift(*known, text, end, size=size) == [*known, end]
    assert indexes(sift(text, *known, end, size=size)) == [(0, "f")]
    assert indexes(sift(*known, text, text, end, size=size)) == [(0, "f"), (1, "f")]


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_call_with_other_arguments_is_another_call(size: int) -> None:
    text = TextDelta(HERMES([("f", {"days": 1})]))
    known = native(0, "f", '{"days":', "2}")
    assert indexes(sift(*known, text, STOP, size=size)) == [(0, "f"), (1, "f")]
    found = sift(text, *known, *native(1, "f", '{"days":3}'), STOP, size=size)
    assert said(found) == [("f", '{"days": 1}'), ("f", '{"days":2}'), ("f", '{"days":3}'), {"calls"}]
    assert [index for index, _ in indexes(found)] == [0, 1, 2]


def test_usage_comes_behind_what_was_held_back_and_before_the_end() -> None:
    usage = UsageDelta(1, 2)
    assert sift(TextDelta("Hi <"), usage, STOP) == [TextDelta("Hi"), TextDelta(" <"), usage, STOP]


def test_reasoning_does_not_wait_for_a_call_and_text_keeps_its_place() -> None:
    thought = ReasoningDelta("Hm")
    assert sift(TextDelta("Hi <"), thought, STOP) == [TextDelta("Hi"), TextDelta(" <"), thought, STOP]
    begun = TextDelta('<tool_call>{"name": "f", ')
    assert said(sift(begun, thought, TextDelta('"arguments": {}}'), STOP)) == [
        thought,
        ("f", "{}"),
        {"calls"},
    ]


def test_a_reason_other_than_the_end_is_kept() -> None:
    blocked = Finished("content_filter")
    assert sift(TextDelta(HERMES([("f", {})])), blocked)[-1] == blocked


def token(text: str) -> TextDelta:
    return TextDelta(text, (Logprob(token=text, bytes=list(text.encode()), logprob=-0.5, top_logprobs=[]),))


@pytest.mark.parametrize("size", [1, 3, 100])
def test_logprobs_follow_their_text_and_those_of_a_call_go_with_it(size: int) -> None:
    before, behind = ["Let", " me", " see", "."], ["\n", "Do", "ne <", "b>"]
    call = ["\n", "<", "tool", '_call>{"name": ', '"f"}', "</tool_call>"]
    found = sift(*map(token, before + call + behind), STOP, size=size)
    tokens = [each.token for delta in found if isinstance(delta, TextDelta) for each in delta.logprobs]
    assert tokens == before + behind


def test_tokens_that_are_not_spelt_as_their_text_stay_with_it() -> None:
    odd = TextDelta("\u20ac", token("bytes:\\xe2\\x82\\xac").logprobs)
    assert sift(token("a <b"), odd, token("c"), STOP, size=100) == [
        TextDelta("a <b", token("a <b").logprobs),
        odd,
        token("c"),
        STOP,
    ]
