"""Vectors of bytes: close to those that they were made of, however their numbers are spread."""

from collections.abc import Callable

import numpy as np
import pytest

from antiphon.retrieval.embedder import Vectors
from antiphon.retrieval.packing import (
    differing,
    differing_in_numpy,
    from_bytes,
    inverse_lengths,
    packed,
    products,
    products_in_numpy,
    signs,
)

RANDOM = np.random.default_rng(5)


def even(count: int) -> Vectors:
    return RANDOM.normal(size=(count, 384)).astype(np.float32)


def with_some_large(count: int) -> Vectors:
    """As many embedders make them: a few numbers are much larger than the others."""
    rows = even(count)
    rows[:, :3] *= 20
    return rows


@pytest.mark.parametrize("make", [even, with_some_large])
def test_cosines_change_by_thousandths(make: Callable[[int], Vectors]) -> None:
    rows = make(1000)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    kept = packed(rows)
    cosines = products(kept, kept[0]) * inverse_lengths(kept) * inverse_lengths(kept[:1])
    assert np.abs(cosines - rows @ rows[0]).max() < 0.01
    assert np.abs(cosines - rows @ rows[0]).mean() < 0.002


def test_products_are_exact_with_the_library_and_without() -> None:
    rows, question = packed(even(3000)), packed(even(1))[0]
    slowly = rows.astype(np.int64) @ question.astype(np.int64)
    assert np.array_equal(products(rows, question), slowly)
    assert np.array_equal(products_in_numpy(rows, question), slowly)


def test_the_largest_products_are_exact() -> None:
    largest = np.full((3, 1024), 127, np.int8)
    assert products(largest, largest[0]).tolist() == [127 * 127 * 1024] * 3
    assert products_in_numpy(largest, largest[0]).tolist() == [127 * 127 * 1024] * 3


def test_a_vector_of_zeros_is_near_to_nothing() -> None:
    kept = packed(np.zeros((2, 8), np.float32))
    assert not kept.any()
    assert inverse_lengths(kept).tolist() == [0, 0]


def test_rows_come_back_from_their_bytes() -> None:
    kept = packed(even(7))
    assert np.array_equal(from_bytes(kept.tobytes(), 384), kept)


def test_signs_differ_where_numbers_are_on_other_sides_of_zero() -> None:
    rows = np.random.default_rng(3).integers(-127, 128, (1500, 100), np.int8)
    slowly = ((rows > 0) != (rows[3] > 0)).sum(axis=1)

    bits = signs(rows)

    assert bits.nbytes == 1500 * 13
    assert np.array_equal(differing(bits, bits[3]), slowly)
    assert np.array_equal(differing_in_numpy(bits, bits[3]), slowly)
