"""The table of vectors: exact, whatever was added and deleted before."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.retrieval.embedder import Vectors
from antiphon.retrieval.packing import Packed, packed
from antiphon.retrieval.vectors import VectorTable

RANDOM = np.random.default_rng(3)


def units(count: int, dimension: int = 16) -> Vectors:
    rows = RANDOM.normal(size=(count, dimension)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def bytes_of(count: int, dimension: int = 16) -> Packed:
    return packed(units(count, dimension))


def slowly(keys: list[int], rows: Packed, question: Vectors, count: int) -> list[int]:
    """The nearest chunks, one row after the other."""
    best: dict[int, float] = {}
    asked = packed(question[None])[0].astype(np.float32)
    for key, row in zip(keys, rows.astype(np.float32), strict=True):
        cosine = row @ asked / np.linalg.norm(row) / np.linalg.norm(asked)
        best[key] = max(best.get(key, -2.0), float(cosine))
    return sorted(best, key=lambda key: -best[key])[:count]


@pytest.mark.parametrize("passages", [1, 3, 40])
@pytest.mark.parametrize("count", [1, 5, 50, 1000])
def test_the_nearest_chunks_are_found_by_their_nearest_passages(passages: int, count: int) -> None:
    keys = [key for key in range(100) for _ in range(passages)]
    rows, question = bytes_of(len(keys)), units(1)[0]
    table = VectorTable(16)
    table.append(keys, rows)
    found = table.nearest(question, count)
    assert [near.key for near in found] == slowly(keys, rows, question, count)
    assert [near.cosine for near in found] == sorted((near.cosine for near in found), reverse=True)


@given(st.lists(st.one_of(st.integers(1, 400), st.sets(st.integers(0, 30), max_size=10)), max_size=8))
@settings(deadline=None)
def test_it_holds_what_was_added_and_not_deleted(steps: list[int | set[int]]) -> None:
    table = VectorTable(4)
    keys: list[int] = []
    rows = bytes_of(0, 4)
    for step in steps:
        if isinstance(step, int):
            new = [number % 31 for number in range(step)]
            added = bytes_of(step, 4)
            table.append(new, added)
            keys, rows = keys + new, np.concatenate([rows, added])
        else:
            table.delete(step)
            kept = [place for place, key in enumerate(keys) if key not in step]
            keys, rows = [keys[place] for place in kept], rows[kept]
    question = units(1, 4)[0]
    assert len(table) == len(keys)
    assert [near.key for near in table.nearest(question, 40)] == slowly(keys, rows, question, 40)


def test_only_allowed_chunks_are_found() -> None:
    table = VectorTable(16)
    table.append(list(range(500)), bytes_of(500))
    found = table.nearest(units(1)[0], 10, allowed=np.array([3, 77, 400, 9999]))
    assert {near.key for near in found} == {3, 77, 400}
    assert table.nearest(units(1)[0], 10, allowed=np.empty(0, np.int64)) == []


def test_an_empty_table_finds_nothing() -> None:
    assert VectorTable(16).nearest(units(1)[0], 5) == []


def test_vectors_that_are_there_are_taken_as_they_are_and_more_may_come() -> None:
    keys, rows, question = list(range(50)), bytes_of(50), units(1)[0]
    table = VectorTable.holding(np.asarray(keys), rows)
    before = rows.copy()
    table.append([50, 51], bytes_of(2))
    table.append([52], packed(question[None]))
    assert np.array_equal(rows, before)
    assert len(table) == 53
    assert table.nearest(question, 1)[0].key == 52


def test_memory_is_given_back_when_chunks_are_deleted() -> None:
    table = VectorTable(384)
    table.append(list(range(1000)), bytes_of(1000, 384))
    before = table.nbytes
    table.delete(range(900))
    assert table.nbytes < before / 5


def test_it_is_searched_while_it_changes() -> None:
    table = VectorTable(16)
    question = units(1)[0]
    table.append([0], packed(question[None]))
    faults: list[object] = []
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            found = table.nearest(question, 5)
            if not found or found[0].key != 0 or abs(found[0].cosine - 1) > 1e-5:
                faults.append(found)

    searcher = threading.Thread(target=search)
    searcher.start()
    for step in range(300):
        table.append([step + 1] * 7, bytes_of(7))
        if step % 10 == 9:
            table.delete(range(1, step))
    stop.set()
    searcher.join()
    assert faults == []
