"""The vectors that are held in memory are those of the store, and no more than there is room for."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from tests.store.contract.homes import HOMES
from tests.store.contract.kit import P
from tests.store.contract.vectors import add_file, chunk, claim, index, new_store

from antiphon.searching.tables import StoreTable, Tables
from antiphon.store.store import Store
from antiphon.store.vector_files import NewEntry, index_with
from antiphon.store.vector_index import Slice
from antiphon.store.vector_stores import Searched


@pytest.fixture(params=HOMES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """With three files, and a store `vs` that has the first of them."""
    store = await HOMES[request.param](tmp_path).open(time.time)
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
