"""Vector stores in the store: what is in them, and what is left of it."""

import asyncio

import pytest
from tests.store.contract.homes import Home
from tests.store.contract.kit import Clock, P, pass_seconds, rows_of
from tests.store.contract.vectors import LEASE, add_file, chunk, claim, index, new_store

from antiphon.retrieval.filters import Compare
from antiphon.retrieval.lexical import Expression, expression
from antiphon.store.errors import Expired, OtherVectors, TooManyFiles, UnknownCursor, UnknownFile
from antiphon.store.files import FileRow
from antiphon.store.paging import PageQuery
from antiphon.store.store import Store
from antiphon.store.vector_batches import FileCounts
from antiphon.store.vector_chunks import AT_ONCE, FORGET, PURGE
from antiphon.store.vector_files import INDEX, NewEntry, index_with
from antiphon.store.vector_index import Begun, Slice
from antiphon.store.vector_stores import StoreChange

VECTOR_TABLES = ("vector_stores", "vector_store_files", "vector_store_batches", "vector_chunks")


def asked(word: str) -> Expression:
    made = expression(word)
    assert made is not None
    return made


async def _key(store: Store, store_id: str = "vs") -> int:
    found = await store.vector_stores.searched(P, store_id)
    assert found is not None
    return found.key


@pytest.fixture
async def filed(store: Store) -> Store:
    """With the files `one` and `two`."""
    await add_file(store, "one")
    await add_file(store, "two")
    return store


async def test_a_store_counts_its_files_by_how_far_they_are(filed: Store) -> None:
    made = await filed.vector_stores.create(P, new_store(), [NewEntry("one"), NewEntry("two")])
    assert made.counts == FileCounts(in_progress=2)

    await index(filed)
    job = await claim(filed)
    await filed.vector_index.fail(job, int(job.payload), "invalid_file", "It is broken.")

    row = await filed.vector_stores.get(P, "vs")
    assert row is not None
    assert row.counts == FileCounts(completed=1, failed=1)
    assert row.usage_bytes == len("a green tree") + 2
    failed = await filed.vector_files.get(P, "vs", "two")
    assert failed is not None
    assert (failed.status, failed.error_code, failed.error_message, failed.usage_bytes) == (
        "failed",
        "invalid_file",
        "It is broken.",
        0,
    )


async def test_no_project_sees_anothers_store(filed: Store) -> None:
    await filed.vector_stores.create(P, new_store(), [NewEntry("one")])

    stores, files = filed.vector_stores, filed.vector_files
    assert await stores.get("other", "vs") is None
    assert await stores.searched("other", "vs") is None
    assert await stores.update("other", "vs", StoreChange(name="mine")) is None
    assert not await stores.delete("other", "vs")
    assert (await stores.page("other", PageQuery())).rows == []
    assert await files.get("other", "vs", "one") is None
    assert await files.page("other", "vs", PageQuery()) is None
    assert await files.texts("other", "vs", "one") is None
    assert not await files.set_attributes("other", "vs", "one", "{}")
    assert not await files.remove("other", "vs", "one")
    assert not await files.add("other", "vs", NewEntry("one"))
    assert await filed.vector_batches.create("other", "vs", "b", [NewEntry("one")]) is None
    with pytest.raises(UnknownCursor):
        await stores.page("other", PageQuery(after="vs"))


async def test_another_projects_file_is_not_there(filed: Store) -> None:
    await add_file(filed, "theirs", "other")
    await filed.vector_stores.create(P, new_store())

    with pytest.raises(UnknownFile):
        await filed.vector_files.add(P, "vs", NewEntry("theirs"))
    with pytest.raises(UnknownFile):
        await filed.vector_batches.create(P, "vs", "batch", [NewEntry("one"), NewEntry("theirs")])

    assert await rows_of(filed, "vector_store_files", "vector_store_batches", "work") == {}


async def test_words_are_found_in_their_store_alone(filed: Store) -> None:
    await filed.vector_stores.create(P, new_store("vs"), [NewEntry("one")])
    await filed.vector_stores.create(P, new_store("other"), [NewEntry("two")])
    await index(filed, ["a green tree", "a red house"])
    await index(filed, ["green grass"])

    green = await filed.vector_chunks.said(P, await _key(filed), asked("green"), 10, None)

    assert [found.text for found in (await filed.vector_chunks.texts(list(green))).values()] == [
        "a green tree"
    ]
    assert await filed.vector_chunks.said("project2", await _key(filed), asked("green"), 10, None) == {}


async def test_only_completed_files_are_found(filed: Store) -> None:
    await filed.vector_stores.create(P, new_store(), [NewEntry("one")])
    job = await claim(filed)
    entry = int(job.payload)
    await filed.vector_index.begin(job, entry, "mini")
    await filed.vector_index.write(job, entry, Slice([chunk(0)], 2))
    key = await _key(filed)

    assert await filed.vector_chunks.said(P, key, asked("green"), 10, None) == {}
    assert await filed.vector_chunks.vectors(key, 0, 10) == []
    assert await filed.vector_files.texts(P, "vs", "one") == []

    await filed.vector_index.complete(job, entry)

    assert len(await filed.vector_chunks.said(P, key, asked("green"), 10, None)) == 1
    assert len(await filed.vector_chunks.vectors(key, 0, 10)) == 1
    assert await filed.vector_chunks.entries(key) == {entry}
    assert await filed.vector_files.texts(P, "vs", "one") == ["a green tree"]


async def test_attributes_decide_what_is_found(filed: Store) -> None:
    entries = [NewEntry("one", '{"year":2020}'), NewEntry("two", '{"year":2021}')]
    await filed.vector_stores.create(P, new_store(), entries)
    await index(filed)
    second = await index(filed)
    key = await _key(filed)
    later = Compare("gt", "year", [2020])

    fitting = await filed.vector_chunks.fitting(key, later)
    said = await filed.vector_chunks.said(P, key, asked("tree"), 10, sorted(fitting))

    assert fitting == {second}
    assert [found.entry for found in (await filed.vector_chunks.texts(list(said))).values()] == [second]

    assert await filed.vector_files.set_attributes(P, "vs", "two", "{}")
    assert await filed.vector_chunks.fitting(key, later) == set()


async def test_who_takes_over_goes_on_where_the_other_ended(filed: Store, home: Home, clock: Clock) -> None:
    await filed.vector_stores.create(P, new_store(), [NewEntry("one")])
    lost = await claim(filed)
    entry = int(lost.payload)
    await filed.vector_index.begin(lost, entry, "mini")
    await filed.vector_index.write(lost, entry, Slice([chunk(0), chunk(1)], 2))
    await pass_seconds(home, clock, LEASE + 1)
    taken = await claim(filed, owner="another")

    begun = await filed.vector_index.begin(taken, entry, "mini")

    assert begun == Begun("one", "one.txt", 800, 400, chunks=2)
    assert await filed.vector_index.begin(lost, entry, "mini") is None
    assert not await filed.vector_index.write(lost, entry, Slice([chunk(2)], 2))
    assert not await filed.vector_index.complete(lost, entry)
    assert not await filed.vector_index.fail(lost, entry, "server_error", "")
    assert not await filed.vector_index.write(taken, entry, Slice([chunk(1)], 2)), "it is written"
    assert await filed.vector_index.write(taken, entry, Slice([chunk(2)], 2))
    assert await filed.vector_index.complete(taken, entry)
    assert len(await filed.vector_chunks.vectors(await _key(filed), 0, 10)) == 3


async def test_a_file_that_is_taken_out_while_it_is_indexed_leaves_nothing(filed: Store) -> None:
    await filed.vector_stores.create(P, new_store(), [NewEntry("one")])
    job = await claim(filed)
    entry = int(job.payload)
    await filed.vector_index.begin(job, entry, "mini")
    await filed.vector_index.write(job, entry, Slice([chunk(0)], 2))

    assert await filed.files.delete(P, "one")

    assert not await filed.vector_index.write(job, entry, Slice([chunk(1)], 2))
    assert not await filed.vector_index.complete(job, entry)
    assert await rows_of(filed, "vector_store_files", "vector_chunks") == {}


async def test_a_deleted_file_is_in_no_store_any_more(filed: Store) -> None:
    for name in ("a", "b"):
        await filed.vector_stores.create(P, new_store(name), [NewEntry("one"), NewEntry("two")])
        await index(filed)
        await index(filed)
    before = await filed.vector_stores.searched(P, "a")

    await filed.files.delete(P, "one")

    for name in ("a", "b"):
        row = await filed.vector_stores.get(P, name)
        assert row is not None
        assert row.counts == FileCounts(completed=1)
        assert await filed.vector_files.get(P, name, "one") is None
        assert len(await filed.vector_chunks.said(P, await _key(filed, name), asked("tree"), 10, None)) == 1
    after = await filed.vector_stores.searched(P, "a")
    assert before is not None
    assert after is not None
    assert after.version != before.version


async def test_an_expired_file_is_in_no_store_any_more(store: Store, clock: Clock) -> None:
    await store.files.add(P, FileRow("one", 1, "one.txt", "user_data", 5, b"", int(clock.now) + 10))
    await store.vector_stores.create(P, new_store(), [NewEntry("one")])
    await index(store)
    clock.now += 11

    await store.files.sweep()

    assert await rows_of(store, "vector_store_files", "vector_chunks") == {}


async def test_a_deleted_store_leaves_its_files_and_nothing_else(filed: Store, clock: Clock) -> None:
    await filed.vector_stores.create(P, new_store(), [NewEntry("one")])
    await filed.vector_batches.create(P, "vs", "batch", [NewEntry("two")])
    await index(filed, [f"text {number}" for number in range(2 * AT_ONCE + 1)])

    assert await filed.vector_stores.delete(P, "vs")

    job = await claim(filed, PURGE)
    entries = [int(key) for key in job.payload.decode().strip("[]").split(",")]
    while await filed.vector_chunks.purge(P, entries):
        pass
    await filed.work.finish(job)
    assert await rows_of(filed, *VECTOR_TABLES) == {}
    assert await filed.files.get(P, "one") is not None
    clock.now += 601
    assert (await claim(filed, FORGET)).project == P
    while await filed.vector_chunks.forget(P):
        pass


async def test_the_words_of_other_texts_stay_when_those_of_deleted_ones_are_forgotten(filed: Store) -> None:
    await filed.vector_stores.create(P, new_store(), [NewEntry("one"), NewEntry("two")])
    await index(filed, ["an abracadabra of words"])
    await index(filed, ["something else"])
    await filed.files.delete(P, "one")

    while await filed.vector_chunks.forget(P):
        pass

    key = await _key(filed)
    assert await filed.vector_chunks.said(P, key, asked("abracadabra"), 10, None) == {}
    assert len(await filed.vector_chunks.said(P, key, asked("something"), 10, None)) == 1


async def test_a_file_that_is_added_again_is_indexed_anew(filed: Store) -> None:
    await filed.vector_stores.create(P, new_store(), [NewEntry("one")])
    await index(filed)

    assert await filed.vector_files.add(P, "vs", NewEntry("one", '{"a":1}', 100, 0))

    row = await filed.vector_files.get(P, "vs", "one")
    assert row is not None
    assert (row.status, row.attributes, row.chunk_tokens, row.overlap) == ("in_progress", '{"a":1}', 100, 0)
    await index(filed)
    assert len(await filed.vector_chunks.vectors(await _key(filed), 0, 10)) == 1


async def test_a_batch_that_is_cancelled_indexes_no_more(filed: Store) -> None:
    await filed.vector_stores.create(P, new_store())
    made = await filed.vector_batches.create(P, "vs", "batch", [NewEntry("one"), NewEntry("two")])
    assert made is not None
    assert made.counts == FileCounts(in_progress=2)
    await index(filed)
    job = await claim(filed)
    await filed.vector_index.begin(job, int(job.payload), "mini")
    await filed.vector_index.write(job, int(job.payload), Slice([chunk(0)], 2))

    cancelled = await filed.vector_batches.cancel(P, "vs", "batch")

    assert cancelled is not None
    assert cancelled.cancelled
    assert cancelled.counts == FileCounts(completed=1, cancelled=1)
    assert not await filed.vector_index.complete(job, int(job.payload))
    page = await filed.vector_batches.page(P, "vs", "batch", PageQuery(), "cancelled")
    assert page is not None
    assert [row.file_id for row in page.rows] == ["two"]
    assert len(await filed.vector_chunks.vectors(await _key(filed), 0, 10)) == 1


async def test_a_batch_that_has_ended_is_not_cancelled(filed: Store) -> None:
    await filed.vector_stores.create(P, new_store())
    await filed.vector_batches.create(P, "vs", "batch", [NewEntry("one")])
    await index(filed)

    row = await filed.vector_batches.cancel(P, "vs", "batch")

    assert row is not None
    assert not row.cancelled


async def test_a_store_expires_after_its_last_use(filed: Store, clock: Clock) -> None:
    await filed.vector_stores.create(P, new_store(days=1), [NewEntry("one")])
    await index(filed)
    clock.pass_days(0.9)
    searched = await filed.vector_stores.searched(P, "vs")
    assert searched is not None
    filed.vector_stores.used(searched)
    await filed.vector_files.set_attributes(P, "vs", "one", "{}")  # what was noted goes with it
    clock.pass_days(0.9)
    row = await filed.vector_stores.get(P, "vs")
    assert row is not None
    assert not row.expired

    clock.pass_days(0.2)
    await filed.vector_stores.sweep()

    row = await filed.vector_stores.get(P, "vs")
    assert row is not None
    assert row.expired
    assert row.counts == FileCounts()
    with pytest.raises(Expired):
        await filed.vector_files.add(P, "vs", NewEntry("one"))
    with pytest.raises(Expired):
        await filed.vector_batches.create(P, "vs", "batch", [NewEntry("one")])
    assert await rows_of(filed, "vector_store_files", "vector_chunks") == {}


async def test_lists_go_both_ways(store: Store) -> None:
    for name in "abcde":
        await store.vector_stores.create(P, new_store(name))

    async def listed(query: PageQuery) -> tuple[str, bool]:
        page = await store.vector_stores.page(P, query)
        return "".join(row.id for row in page.rows), page.more

    assert await listed(PageQuery(2)) == ("ed", True)
    assert await listed(PageQuery(2, after="d")) == ("cb", True)
    assert await listed(PageQuery(2, before="b")) == ("dc", True)
    assert await listed(PageQuery(9, before="b")) == ("edc", False)
    assert await listed(PageQuery(2, "asc", before="d")) == ("bc", True)
    assert await listed(PageQuery(9, "asc", after="a", before="d")) == ("bc", False)


async def test_vectors_of_two_embedders_are_not_mixed(filed: Store) -> None:
    await filed.vector_stores.create(P, new_store(), [NewEntry("one"), NewEntry("two")])
    await index(filed)
    job = await claim(filed)
    entry = int(job.payload)

    with pytest.raises(OtherVectors):
        await filed.vector_index.begin(job, entry, "maxi")
    assert await filed.vector_index.begin(job, entry, "mini") is not None
    with pytest.raises(OtherVectors):
        await filed.vector_index.write(job, entry, Slice([chunk(0)], 3))


async def test_a_store_is_indexed_anew_with_another_embedder(filed: Store) -> None:
    await filed.vector_stores.create(P, new_store(), [NewEntry("one")])
    entry = await index(filed, ["old text"])

    assert await filed.vector_stores.reindex("maxi") == 1
    assert await filed.vector_stores.reindex("maxi") == 0

    job = await claim(filed, index_with("maxi"))
    assert await filed.vector_index.begin(job, entry, "maxi") == Begun("one", "one.txt", 800, 400, chunks=0)
    assert await filed.vector_index.write(job, entry, Slice([chunk(0, "new text")], 3))
    assert await filed.vector_index.complete(job, entry)
    key = await _key(filed)
    assert await filed.vector_chunks.said(P, key, asked("old"), 10, None) == {}
    assert len(await filed.vector_chunks.said(P, key, asked("text"), 10, None)) == 1


async def test_whoever_has_the_older_embedder_keeps_away_from_what_is_indexed_anew(filed: Store) -> None:
    await filed.vector_stores.create(P, new_store(), [NewEntry("one"), NewEntry("two")])
    await index(filed, ["old text"])
    older = await claim(filed)
    entry = int(older.payload)
    assert await filed.vector_index.begin(older, entry, "mini") is not None

    assert await filed.vector_stores.reindex("maxi") == 2

    assert not await filed.vector_index.write(older, entry, Slice([chunk(0)], 2)), "it has lost the job"
    assert await filed.work.claim([INDEX, index_with("mini")], "older", 5.0, 10) == ()
    await add_file(filed, "three")
    assert await filed.vector_files.add(P, "vs", NewEntry("three"))
    added = await claim(filed)
    with pytest.raises(OtherVectors):
        await filed.vector_index.begin(added, int(added.payload), "mini")
    searched = await filed.vector_stores.searched(P, "vs")
    assert searched is not None
    assert (searched.embedder, searched.dimension) == ("maxi", 0)

    jobs = await filed.work.claim([index_with("maxi")], "newer", 5.0, 10)
    assert sorted(int(job.payload) for job in jobs) == [entry - 1, entry]


async def test_a_file_that_is_taken_out_is_not_indexed_anew(filed: Store) -> None:
    await filed.vector_stores.create(P, new_store(), [NewEntry("one"), NewEntry("two")])
    for _ in range(2):
        await index(filed, ["old text"])
    await filed.vector_stores.reindex("maxi")

    await filed.vector_files.remove(P, "vs", "one")
    await filed.vector_stores.reindex("mini")

    assert await filed.work.claim([index_with("maxi")], "newer", 5.0, 10) == ()
    assert len(await filed.work.claim([index_with("mini")], "newer", 5.0, 10)) == 1


async def test_a_store_has_a_bound(filed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("antiphon.store.vector_files.MOST_FILES", 1)

    with pytest.raises(TooManyFiles):
        await filed.vector_stores.create(P, new_store(), [NewEntry("one"), NewEntry("two")])

    assert await rows_of(filed, "vector_stores", "vector_store_files") == {}


async def test_chunks_count_for_what_a_project_may_keep(filed: Store) -> None:
    await filed.usage.bound(1_000)
    files = await filed.usage.stored(P)
    await filed.vector_stores.create(P, new_store(), [NewEntry("one")])

    await index(filed, ["grün"])
    assert files is not None
    assert await filed.usage.stored(P) == files + len("grün".encode()) + 2

    await filed.vector_stores.delete(P, "vs")
    assert await filed.usage.stored(P) == files


async def test_stores_that_are_made_at_once_count_right(filed: Store) -> None:
    await filed.vector_stores.create(P, new_store())
    await asyncio.gather(
        filed.vector_files.add(P, "vs", NewEntry("one")),
        filed.vector_files.add(P, "vs", NewEntry("one")),
        filed.vector_files.add(P, "vs", NewEntry("two")),
    )

    row = await filed.vector_stores.get(P, "vs")
    assert row is not None
    assert row.counts == FileCounts(in_progress=2)
    assert (await rows_of(filed, "work"))["work"] >= 2
