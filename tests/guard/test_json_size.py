"""How many values a JSON text holds."""

import json
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.guard.json_size import ValueCounter, has_more_values

LEAVES = st.one_of(st.none(), st.integers(), st.text(), st.text('\\",[]{}', max_size=8))
JSON = st.recursive(
    LEAVES, lambda deep: st.one_of(st.lists(deep, max_size=4), st.dictionaries(st.text(), deep, max_size=4))
)


def values(found: object) -> int:
    """Commas and opening brackets of a value that is written as JSON."""
    if isinstance(found, dict):
        return 1 + max(0, len(found) - 1) + sum(map(values, found.values()))
    if isinstance(found, list):
        return 1 + max(0, len(found) - 1) + sum(map(values, found))
    return 0


@given(JSON)
def test_every_value_is_counted_and_nothing_in_strings_is(found: object) -> None:
    text, count = json.dumps(found, ensure_ascii=False).encode(), values(found)
    assert not has_more_values(text, count)
    assert count == 0 or has_more_values(text, count - 1)


@given(JSON, st.lists(st.integers(0, 200)))
def test_a_text_may_come_in_pieces_cut_anywhere(found: object, cuts: list[int]) -> None:
    text, counter = json.dumps(found, ensure_ascii=False).encode(), ValueCounter()
    for start, end in pairwise([0, *sorted(cuts), len(text)]):
        counter.feed(text[start:end])
    assert counter.count == values(found)


@pytest.mark.parametrize(
    "text",
    [b"[" + b"{}," * 20_000_000 + b"1]", b'["' + b"\\\\" * 30_000_000 + b'"]', b'["' + b',",' * 20_000_000],
)
def test_sixty_megabytes_are_counted_in_good_time(text: bytes) -> None:
    begun = time.process_time()
    has_more_values(text, 250_000)
    assert time.process_time() - begun < 3
