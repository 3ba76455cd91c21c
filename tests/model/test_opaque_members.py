"""Members that go back as they came: put together from their pieces."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from antiphon.model.opaque import joined

TEXT = st.text(max_size=4)
DETAIL = st.one_of(
    st.fixed_dictionaries({"type": st.just("reasoning.text"), "index": st.integers(0, 2), "text": TEXT}),
    st.fixed_dictionaries({"type": st.just("reasoning.text"), "index": st.integers(0, 2), "signature": TEXT}),
    st.fixed_dictionaries(
        {"type": st.just("reasoning.summary"), "index": st.integers(0, 2), "summary": TEXT}
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("reasoning.encrypted"),
            "index": st.just(0),
            "id": st.sampled_from("ab"),
            "data": TEXT,
        }
    ),
)
PIECES = st.lists(DETAIL.map(lambda detail: {"reasoning_details": [detail]}), max_size=12)


@given(PIECES, st.integers(0, 12))
def test_any_cut_gives_the_same(pieces: list[dict[str, Any]], cut: int) -> None:
    halves = (joined(pieces[:cut]), joined(pieces[cut:]))
    assert joined(halves) == joined(pieces)


@given(PIECES)
def test_what_is_whole_stays_as_it_is_and_no_piece_is_changed(pieces: list[dict[str, Any]]) -> None:
    before = [dict(piece["reasoning_details"][0]) for piece in pieces]
    whole = joined(pieces)
    assert joined([whole]) == whole
    assert [piece["reasoning_details"][0] for piece in pieces] == before


def test_what_is_sealed_without_an_index_comes_whole() -> None:
    sealed = [{"type": "redacted_thinking", "data": "a"}, {"type": "redacted_thinking", "data": "b"}]
    assert joined({"thinking_blocks": [each]} for each in sealed) == {"thinking_blocks": sealed}


def test_objects_are_merged_and_other_values_replaced() -> None:
    pieces = [
        {"extra_content": {"google": {"a": 1}}},
        {"extra_content": {"google": {"b": 2}}, "thought_signature": "x"},
    ]
    assert joined(pieces) == {"extra_content": {"google": {"a": 1, "b": 2}}, "thought_signature": "x"}


def test_members_that_are_no_objects_are_kept_as_they_are() -> None:
    assert joined([{"reasoning_details": ["a", 7]}, {"reasoning_details": [None]}]) == {
        "reasoning_details": ["a", 7, None]
    }
