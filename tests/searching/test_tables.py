"""The vectors that are held in memory are those of the store, and no more than there is room for."""

import time
from collections.abc import AsyncIterator

import numpy as np
import pytest
from tests.store.contract.homes import Home
from tests.store.contract.kit import P
from tests.store.contract.vectors import add_file, chunk, claim, index, new_store

from antiphon.searching.tables import StoreTable, Tables
from antiphon.store.store import Store
from antiphon.store.vector_files import NewEntry, index_with
from antiphon.store.vector_index import Slice
from antiphon.store.vector_stores import Searched


@pytest.fixture
async def store(home: Home) -> AsyncIterator[Store]:
    """With three files, and a store `vs` that has the first of them."""
    store = await home.open(time.time)
    for name in ("one", "two", "three"):
        await add_file(store, name)
    await store.vector_stores.create(P, new_store(), [NewEntry("one")])
    await index(store, ["a", "b"])
    yield store
    await store.close()


async def searched(store: Store, store_id: str = "vs") -> Searched:
    found = await store.vector_stores.searched(P, store_id)
    assert found is not None
    return found


def keys(table: StoreTable) -> list[int]:
    near = table.vectors.nearest(np.ones(2, np.float32), 100)
    return sorted(each.key for each in near)


def chunks_of(table: StoreTable, entries: set[int]) -> list[int]:
    found = table.of(entries)
    assert found is not None
    return found.tolist()


async def test_a_table_has_what_was_added_since_and_not_what_was_taken_out(store: Store) -> None:
    tables = Tables(store.vector_chunks, 2**20)
    first = keys(await tables.table(await searched(store)))
    assert len(first) == 2

    await store.vector_files.add(P, "vs", NewEntry("two"))
    await index(store, ["c"])
    both = keys(await tables.table(await searched(store)))
    assert both[:2] == first
    assert len(both) == 3

    await store.vector_files.remove(P, "vs", "one")
    assert keys(await tables.table(await searched(store))) == both[2:]


async def test_a_table_is_read_once_as_long_as_nothing_changes(store: Store) -> None:
    tables = Tables(store.vector_chunks, 2**20)
    first = keys(await tables.table(await searched(store)))
    await store.vector_chunks.purge(P, [1])  # behind its back

    assert keys(await tables.table(await searched(store))) == first


async def test_the_tables_used_last_are_kept(store: Store) -> None:
    await store.vector_stores.create(P, new_store("other"), [NewEntry("two")])
    await index(store, ["c"])
    tables = Tables(store.vector_chunks, 0)
    first = await tables.table(await searched(store))

    second = await tables.table(await searched(store, "other"))

    assert tables.nbytes == second.vectors.nbytes
    again = await tables.table(await searched(store))
    assert again.vectors is not first.vectors
    assert keys(again) == keys(first)


async def test_another_embedders_vectors_take_the_place_of_the_first_ones(store: Store) -> None:
    tables = Tables(store.vector_chunks, 2**20)
    await tables.table(await searched(store))
    await store.vector_stores.reindex("maxi")
    job = await claim(store, index_with("maxi"))
    entry = int(job.payload)
    await store.vector_index.begin(job, entry, "maxi")
    await store.vector_index.write(job, entry, Slice([chunk(0, "x", (0.0, 0.0, 1.0))], 3))
    await store.vector_index.complete(job, entry)

    table = await tables.table(await searched(store))

    (near,) = table.vectors.nearest(np.array([0, 0, 1], np.float32), 10)
    assert near.cosine == 1.0


async def test_a_table_knows_whose_its_chunks_are(store: Store) -> None:
    tables = Tables(store.vector_chunks, 2**20)
    await store.vector_files.add(P, "vs", NewEntry("two"))
    second = await index(store, ["c"])

    table = await tables.table(await searched(store))

    assert chunks_of(table, {second}) == [keys(table)[2]]
    assert table.of(set(table.keys) | {99}) is None
    assert chunks_of(table, set()) == []


async def test_a_store_that_is_larger_than_its_room_is_held_by_signs_and_found_by_vectors(
    store: Store,
) -> None:
    random = np.random.default_rng(5)
    vectors = random.normal(size=(600, 64)).astype(np.float32)
    vectors[:5] = vectors[7] + random.normal(0, 0.4, (5, 64))
    await store.vector_stores.create(P, new_store("large"), [NewEntry("two")])
    job = await claim(store)
    entry = int(job.payload)
    await store.vector_index.begin(job, entry, "mini")
    for begin in range(0, 600, 100):
        some = [
            chunk(begin + n, "x", vector.tolist()) for n, vector in enumerate(vectors[begin : begin + 100])
        ]
        assert await store.vector_index.write(job, entry, Slice(some, 64))
    await store.vector_index.complete(job, entry)
    large = await searched(store, "large")
    whole, tables = Tables(store.vector_chunks, 2**20), Tables(store.vector_chunks, 2**14)

    exact, held = await whole.table(large), await tables.table(large)

    assert (exact.has_signs, held.has_signs) == (False, True)
    question = vectors[7] + random.normal(0, 0.3, 64).astype(np.float32)
    near = held.vectors.nearest(question, 100)
    looked_at = await tables.exactly(large, [each.key for each in near])
    assert looked_at.nearest(question, 5) == exact.vectors.nearest(question, 5)
    assert near[0].key == exact.vectors.nearest(question, 1)[0].key

    await store.vector_files.remove(P, "large", "two")
    assert (await tables.table(await searched(store, "large"))).vectors.nearest(question, 5) == []
