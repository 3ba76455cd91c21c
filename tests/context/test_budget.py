"""What is left out of a context that is too long."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.context.budget import droppable, estimate, shortened, units, weight
from antiphon.model import AudioPart, Call, FilePart, Function, ImagePart, Message, TextPart, Turn

# ---- by example -------------------------------------------------------------------------------------


def user(text: str) -> Message:
    return Message("user", (TextPart(text),))


def spoken(text: str = "", *calls: str) -> Message:
    return Message(
        "assistant", (TextPart(text),) if text else (), tuple(Call(call, "f", "{}") for call in calls)
    )


def result(call_id: str) -> Message:
    return Message("tool", (TextPart("x" * 40),), call_id=call_id)


SYSTEM = Message("system", (TextPart("Be brief."),))


def test_the_oldest_goes_first() -> None:
    said = (user("1"), spoken("2"), user("3"))

    assert shortened(said, 1) == said[1:]


def test_nothing_goes_when_there_is_no_excess() -> None:
    said = (user("1"), user("2"))

    assert shortened(said, 0) == said


def test_a_call_goes_with_all_of_its_results() -> None:
    said = (spoken("", "a", "b"), result("a"), user("1"), result("b"), user("2"))

    assert shortened(said, 1) == (said[2], said[4])


def test_results_belong_to_the_newest_call_before_them() -> None:
    said = (spoken("", "a"), result("a"), spoken("", "a"), result("a"))

    assert units(said) == [(0, 1), (2, 3)]


def test_instructions_stay_wherever_they_are() -> None:
    said = (SYSTEM, user("1"), Message("developer", (TextPart("2"),)), user("3"))

    assert shortened(said, 1) == (said[0], said[2], said[3])


def test_what_leads_the_context_stays() -> None:
    said = (user("of a prompt"), spoken("so too"), user("1"), user("2"))

    assert shortened(said, 1, pinned=2) == (*said[:2], said[3])


def test_the_newest_user_message_and_the_last_results_stay() -> None:
    said = (user("1"), user("2"), spoken("", "a"), result("a"), spoken("", "b"), result("b"))

    assert droppable(said) == [(0,), (2, 3)]


def test_too_much_excess_is_reported() -> None:
    assert shortened((user("1"), user("2")), 1000) is None


@pytest.mark.parametrize(
    ("part", "tokens"),
    [
        (TextPart("x" * 400), 100),
        (TextPart("é" * 200), 100),
        (ImagePart("https://a/b.png"), 256),
        (ImagePart("https://a/b.png", "low"), 85),
        (AudioPart("x" * 4000, "wav"), 10),
        (FilePart("x" * 4000, "a.pdf"), 100),
    ],
    ids=lambda value: type(value).__name__,
)
def test_parts_are_weighed_by_their_kind(part: Any, tokens: int) -> None:
    assert weight(Message("user", (part,))) == tokens + 4


def test_an_estimate_counts_functions_and_calls() -> None:
    bare = Turn("m", (user("Hi"),))
    with_function = Turn("m", bare.messages, functions=(Function("f", "x" * 400),))

    assert estimate(with_function) - estimate(bare) >= 100
    assert weight(spoken("", "a")) < weight(Message("assistant", calls=(Call("a", "f", "x" * 400),)))


# ---- always -----------------------------------------------------------------------------------------

IDS = st.sampled_from("abc")
TEXT = st.text("x", max_size=60).map(lambda text: (TextPart(text),))
MESSAGE = st.one_of(
    st.builds(Message, st.sampled_from(["user", "user", "system", "developer"]), TEXT),
    st.builds(
        Message,
        st.just("assistant"),
        TEXT,
        st.lists(IDS, max_size=2, unique=True).map(lambda ids: tuple(Call(i, "f", "{}") for i in ids)),
    ),
    st.builds(Message, st.just("tool"), TEXT, call_id=IDS),
)
MESSAGES = st.lists(MESSAGE, min_size=1, max_size=25)


def places(kept: tuple[Message, ...], said: list[Message]) -> list[int]:
    """Where the kept messages stood. Each is an object of its own."""
    index = {id(message): at for at, message in enumerate(said)}
    return [index[id(message)] for message in kept]


@given(MESSAGES, st.integers(0, 300), st.integers(0, 3))
def test_order_is_kept_and_pairs_are_not_split(said: list[Message], excess: int, pinned: int) -> None:
    kept = shortened(said, excess, pinned)

    if kept is None:
        return
    stand = places(kept, said)
    assert stand == sorted(set(stand))
    for unit in units(said):
        assert {index in stand for index in unit} in ({True}, {False})


@given(MESSAGES, st.integers(0, 300), st.integers(0, 3))
def test_what_must_stay_stays(said: list[Message], excess: int, pinned: int) -> None:
    kept = shortened(said, excess, pinned)

    if kept is None:
        return
    stand = set(places(kept, said))
    users = [index for index, message in enumerate(said) if message.role == "user"]
    instructions = {i for i, message in enumerate(said) if message.role in ("system", "developer")}
    assert {*range(min(pinned, len(said))), *users[-1:], len(said) - 1, *instructions} <= stand


@given(MESSAGES, st.integers(0, 300), st.integers(0, 300), st.integers(0, 3))
def test_more_excess_leaves_no_more(said: list[Message], one: int, other: int, pinned: int) -> None:
    less, more = (shortened(said, excess, pinned) for excess in sorted((one, other)))

    if more is not None:
        assert less is not None
        assert set(places(more, said)) <= set(places(less, said))


@given(MESSAGES, st.integers(0, 300), st.integers(0, 3))
def test_as_much_goes_as_must_and_no_unit_more(said: list[Message], excess: int, pinned: int) -> None:
    can_go = sum(weight(said[index]) for unit in droppable(said, pinned) for index in unit)
    kept = shortened(said, excess, pinned)

    assert (kept is None) == (excess > can_go)
    if kept is not None:
        gone = sum(map(weight, said)) - sum(map(weight, kept))
        largest = max((sum(weight(said[i]) for i in unit) for unit in droppable(said, pinned)), default=0)
        assert excess <= gone < excess + max(largest, 1) or excess == gone == 0
