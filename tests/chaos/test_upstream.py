"""The model without a memory: what it says follows from what it is given."""

import json
from typing import Any

from tests.chaos.plan import Plan, insists, result_of
from tests.chaos.upstream import decide

Json = dict[str, Any]
PLAN = Plan(calls=3, words=4, pace=10, seed=11)
"""Its first two calls come at once."""
A, B, C = PLAN.keys
ASKED = {"role": "user", "content": [{"type": "text", "text": PLAN.prompt()}]}


def calls(*keys: str) -> Json:
    made = [{"id": f"call_{key}", "function": {"arguments": json.dumps({"key": key})}} for key in keys]
    return {"role": "assistant", "content": None, "tool_calls": made}


def result(key: str, content: str | None = None) -> Json:
    return {"role": "tool", "tool_call_id": f"call_{key}", "content": content or result_of(key)}


def test_calls_come_before_the_text_and_two_may_come_at_once() -> None:
    assert decide([ASKED]).keys == [A, B]
    assert decide([ASKED, calls(A, B), result(A), result(B)]).keys == [C]

    said = decide([ASKED, calls(A, B), result(A), result(B), calls(C), result(C)])

    assert (said.keys, said.text) == ((), PLAN.text(1))


def test_a_call_that_has_no_result_is_made_again_alone() -> None:
    assert decide([ASKED, calls(A), result(A)]).keys == [B]


def test_a_call_of_unknown_outcome_is_made_again_or_not_as_its_key_has_it() -> None:
    seen = set()
    for seed in range(20):
        plan = Plan(calls=1, words=4, pace=10, seed=seed)
        (key,) = plan.keys
        asked = {"role": "user", "content": plan.prompt()}
        said = decide([asked, calls(key), result(key, "It is not known whether it took effect.")])
        assert list(said.keys) == ([key] if insists(key, 1) else [])
        seen.add(insists(key, 1))
    assert seen == {True, False}


def test_the_text_says_which_turn_it_is() -> None:
    said = decide(
        [
            ASKED,
            {"role": "assistant", "content": "done"},
            {"role": "user", "content": "calls=0 words=2 pace=1 seed=5"},
        ]
    )

    assert said.text.startswith("Turn 2: ")


def test_a_call_that_was_cut_off_is_not_taken_for_made() -> None:
    cut = calls(A)
    cut["tool_calls"][0]["function"]["arguments"] = '{"ke'

    assert decide([ASKED, cut, result(A, "It was cut off.")]).keys == [A, B]
