"""How results are scored, ordered, cut off and joined."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.retrieval.ranking import DEFAULT, DENSE, Found, Weights, best, merged, scored

SHARES = st.dictionaries(st.integers(0, 9), st.floats(0, 1), max_size=8)
COSINES = st.dictionaries(st.integers(0, 9), st.floats(-1, 1.0001), max_size=8)
WEIGHTS = st.builds(Weights, st.floats(0.01, 5), st.floats(0, 5)) | st.just(Weights(0, 1))


@given(COSINES, SHARES, WEIGHTS)
@settings(deadline=None)
def test_scores_lie_between_0_and_1_and_the_best_come_first(
    cosines: dict[int, float], words: dict[int, float], weights: Weights
) -> None:
    found = scored(cosines, words, weights)
    assert {key for key, _ in found} == cosines.keys() | words.keys()
    values = [score for _, score in found]
    assert values == sorted(values, reverse=True)
    assert all(0 <= value <= 1.0000001 for value in values)


@given(COSINES, SHARES, WEIGHTS, st.integers(0, 9), st.floats(0, 1))
@settings(deadline=None)
def test_who_is_nearer_never_scores_lower(
    cosines: dict[int, float], words: dict[int, float], weights: Weights, key: int, more: float
) -> None:
    before = dict(scored(cosines | {key: 0.0}, words, weights))[key]
    assert dict(scored(cosines | {key: more}, words, weights))[key] >= before


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (DENSE, [(1, 0.9), (2, 0.2), (3, 0.0)]),
        (Weights(0, 1), [(3, 1.0), (2, 0.5), (1, 0.0)]),
        (Weights(1, 1), [(3, 0.5), (1, 0.45), (2, 0.35)]),
        (Weights(30, 10), [(1, 0.675), (2, 0.275), (3, 0.25)]),
    ],
)
def test_weights_are_obeyed(weights: Weights, expected: list[tuple[int, float]]) -> None:
    found = scored({1: 0.9, 2: 0.2}, {2: 0.5, 3: 1.0}, weights)
    assert [(key, round(score, 6)) for key, score in found] == expected


def test_a_score_does_not_depend_on_what_else_was_found() -> None:
    alone = dict(scored({1: 0.5}, {1: 0.3}, DEFAULT))[1]
    among = dict(scored({1: 0.5, 2: 0.99}, {1: 0.3, 3: 1.0}, DEFAULT))[1]
    assert alone == among


def test_of_several_questions_the_best_score_counts() -> None:
    assert best([[(1, 0.9), (2, 0.1)], [(2, 0.95), (3, 0.2)]]) == [(2, 0.95), (1, 0.9), (3, 0.2)]


TEXT = "abcdefghijklmnopqrstuvwxyz"


def part(start: int, end: int, score: float, file: str = "f") -> Found:
    return Found(file, start, end, TEXT[start:end], score)


def test_parts_of_one_file_that_overlap_are_one_result_in_the_better_place() -> None:
    found = merged([part(10, 16, 0.9), part(0, 4, 0.8), part(14, 20, 0.7), part(8, 11, 0.6)], 10)
    assert found == [part(8, 20, 0.9), part(0, 4, 0.8)]


def test_a_part_that_joins_two_results_makes_them_one() -> None:
    found = merged([part(0, 6, 0.9), part(20, 26, 0.85), part(10, 14, 0.8), part(5, 11, 0.7)], 10)
    assert found == [part(0, 14, 0.9), part(20, 26, 0.85)]


def test_a_part_within_another_adds_nothing() -> None:
    assert merged([part(0, 20, 0.9), part(5, 8, 0.8)], 10) == [part(0, 20, 0.9)]


def test_parts_of_two_files_and_parts_that_only_touch_are_not_joined() -> None:
    apart = [part(0, 6, 0.9), part(6, 9, 0.8), part(0, 6, 0.7, "other")]
    assert merged(apart, 10) == apart


def test_what_scores_below_the_threshold_is_left_out() -> None:
    ranked = [part(0, 2, 0.9), part(4, 6, 0.5), part(8, 9, 0.4)]
    assert merged(ranked, 10, 0.5) == ranked[:2]
    assert merged(ranked, 10, 1.0) == []


def test_no_more_is_taken_than_is_wanted() -> None:
    taken = []

    def ranked() -> Iterator[Found]:
        for start in range(0, 24, 2):
            taken.append(start)
            yield part(start, start + 1, 0.5)

    assert len(merged(ranked(), 3)) == 3
    assert taken == [0, 2, 4, 6]
