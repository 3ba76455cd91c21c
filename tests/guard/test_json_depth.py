"""How deep JSON is nested."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.guard.json_depth import is_deeper

VALUES = st.recursive(
    st.text('{}[]"\\a', max_size=8) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("{[]}", max_size=3), inner, max_size=3)
    ),
    max_leaves=30,
)


def depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(VALUES, st.integers(0, 6))
def test_levels_are_counted_and_brackets_in_texts_are_none(value: Any, most: int) -> None:
    assert is_deeper(json.dumps(value).encode(), most) is (depth(value) > most)


@pytest.mark.parametrize("inner", ["1", '"]}"', '"{[{["', '"\\\\"', '"\\""'])
@pytest.mark.parametrize(("levels", "deeper"), [(256, False), (257, True)])
def test_what_stands_innermost_hides_nothing(levels: int, deeper: bool, inner: str) -> None:
    assert is_deeper(f"{'[' * levels}{inner}{']' * levels}".encode()) is deeper


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 300 + b'"' + b'\\"' * 4_000_000,
        b"[" * 300 + b'"' + b"\\" * 8_000_001,
        b'["' + b"[" * 8_000_000 + b'"]',
        b'["' + b"[]" * 4_000_000 + b'"]' + b'"' * 4_000_000,
        b"[]" * 500_000,
        b"[" * 250 + b'"]",' * 1_000_000,
    ],
    ids=["open string", "backslashes", "brackets in a string", "quotation marks", "brackets", "strings"],
)
def test_whatever_a_text_is_made_of_it_takes_time_of_its_length(text: bytes) -> None:
    began = time.process_time()
    is_deeper(text)
    assert time.process_time() - began < 5  # in time of its square, hours
    assert not is_deeper(b"")
