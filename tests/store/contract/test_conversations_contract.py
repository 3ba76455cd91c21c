"""Conversations: what a turn adds, what removing hides, and who may write."""

import asyncio

import pytest
from tests.store.contract.kit import (
    Clock,
    P,
    begin,
    counts,
    ids,
    item,
    items,
    said,
    set_back,
    spoken,
    texts,
    turn,
)

from antiphon.store.conversations import ConversationRow, Stretch
from antiphon.store.errors import DuplicateItem, UnknownCursor
from antiphon.store.paging import Page, PageQuery
from antiphon.store.responses import StoredResponse
from antiphon.store.store import Store

# ---- conversations ----------------------------------------------------------------------------------


async def test_a_conversation_is_read_back_as_it_was_made(store: Store) -> None:
    row = ConversationRow("c", 7, b'{"a":"b"}')
    await store.conversations.create(P, row, items("a", "b"))
    assert await store.conversations.get(P, "c") == row
    changed = ConversationRow("c", 7, b"{}")
    assert await store.conversations.update(P, "c", b"{}") == changed
    assert await store.conversations.get(P, "c") == changed
    assert await spoken(store, "c") == texts("a", "b")
    assert await store.conversations.item(P, "c", "b") == item("b").json


async def test_conversation_items_are_paged_in_both_orders(store: Store) -> None:
    await begin(store, "c", *"abcde")
    await store.conversations.delete_item(P, "c", "c")
    first = await store.conversations.items(P, "c", PageQuery(limit=2))
    assert first == Page(items("e", "d"), more=True)
    last = await store.conversations.items(P, "c", PageQuery(limit=2, after="d"))
    assert last == Page(items("b", "a"), more=False)
    up = await store.conversations.items(P, "c", PageQuery(limit=2, order="asc", after="a"))
    assert up == Page(items("b", "d"), more=True)


@pytest.mark.parametrize("many", [3, 40])
async def test_what_is_new_in_a_conversation_is_read_alone_while_all_before_is_there(
    store: Store, many: int
) -> None:
    names = [f"i{n}" for n in range(many)]
    await begin(store, "c", *names)
    whole = Stretch(0, many, texts(*names))
    assert await store.conversations.history(P, "c") == whole
    assert await store.conversations.history(P, "c", 1, 1, "i0") == Stretch(1, many, texts(*names[1:]))
    assert await store.conversations.history(P, "c", many, many, names[-1]) == Stretch(many, many, [])
    assert await store.conversations.history(P, "c", many, many + 1, names[-1]) == whole
    assert await store.conversations.history(P, "c", many, many, "i0") == whole
    await store.conversations.delete_item(P, "c", "i1")
    left = Stretch(0, many, texts("i0", *names[2:]))
    asked = (many, many - 1, names[-1])
    assert await store.conversations.history(P, "c", many, many, names[-1]) == left
    assert await store.conversations.history(P, "c", *asked) == Stretch(many, many, [])
    await store.conversations.add_items(P, "c", items("i1"))
    assert await store.conversations.history(P, "c", *asked) == Stretch(many, many + 1, texts("i1"))


@pytest.mark.parametrize("more", [[], ["x"], ["x", "y"], ["x", "y", "z"]])
async def test_a_conversation_that_was_set_back_is_read_whole(store: Store, more: list[str]) -> None:
    """Its positions come again, for something else."""
    await begin(store, "c", *"abcd")
    await store.write(set_back, "c", 2)
    await store.conversations.add_items(P, "c", items(*more))
    whole = Stretch(0, 2 + len(more), texts("a", "b", *more))
    assert await store.conversations.history(P, "c", 4, 4, "d") == whole


@pytest.mark.parametrize("sizes", [[10**6], [10] * 15 + [10**6], [10**5] * 16])
async def test_large_items_are_read_as_small_ones(store: Store, sizes: list[int]) -> None:
    await begin(store, "c", "a")
    large = [item(f"i{n}", "x" * size) for n, size in enumerate(sizes)]
    await store.conversations.add_items(P, "c", large)
    found = await store.conversations.history(P, "c", 1, 1, "a")
    assert found == Stretch(1, 1 + len(large), [row.json for row in large])


async def test_a_turn_joins_the_conversation_input_first(store: Store) -> None:
    await begin(store, "c", "a")
    await store.responses.save(P, turn("r1", conversation="c"))
    await store.conversations.add_items(P, "c", items("b"))
    await store.responses.save(P, turn("r2", conversation="c"))
    assert await spoken(store, "c") == [*texts("a"), *said("r1"), *texts("b"), *said("r2")]
    assert await store.responses.history(P, "r1") == [*texts("a"), *said("r1")]
    inputs = await store.responses.input_items(P, "r2", PageQuery(order="asc"))
    assert ids(inputs) == ["a", "r1.in", "r1.out", "b", "r2.in"]
    assert (await counts(store))["threads"] == 1


async def test_chaining_onto_a_turn_of_a_conversation_leaves_the_conversation_alone(
    store: Store,
) -> None:
    await begin(store, "c")
    await store.responses.save(P, turn("r", conversation="c"))
    await store.responses.save(P, turn("aside", "r"))
    await store.responses.save(P, turn("more", "aside"))
    assert await spoken(store, "c") == said("r")
    assert await store.responses.history(P, "more") == said("r", "aside", "more")


async def test_items_are_added_all_or_none(store: Store) -> None:
    await begin(store, "c", "a")
    for wrong in (items("b", "a"), items("b", "c", "b")):
        with pytest.raises(DuplicateItem, match=r"^[ab]$"):
            await store.conversations.add_items(P, "c", wrong)
    with pytest.raises(DuplicateItem):
        await begin(store, "d", "x", "x")
    assert await spoken(store, "c") == texts("a")
    assert await store.conversations.get(P, "d") is None
    assert await store.items.get(P, "b") is None
    assert await store.conversations.add_items(P, "c", items("b"))


async def test_an_item_that_was_removed_is_hidden_but_stays_in_its_response(store: Store) -> None:
    await begin(store, "c", "a")
    await store.responses.save(P, turn("r1", conversation="c"))
    await store.responses.save(P, turn("r2", conversation="c"))
    for removed in ("a", "r1.in", "r1.out"):
        assert await store.conversations.delete_item(P, "c", removed)
        assert not await store.conversations.delete_item(P, "c", removed)
        assert await store.conversations.item(P, "c", removed) is None
    assert await spoken(store, "c") == said("r2")
    assert await store.responses.history(P, "r2") == said("r2")
    assert ids(await store.responses.input_items(P, "r2", PageQuery())) == ["r2.in"]
    assert ids(await store.responses.input_items(P, "r1", PageQuery())) == ["r1.in"]
    assert await store.responses.get(P, "r1") == StoredResponse(b'{"id":"r1"}', texts("r1.out"))
    assert await store.items.get(P, "a") is None
    await store.responses.delete(P, "r1")
    assert await store.items.get(P, "r1.in") is None
    assert (await counts(store))["links"] == 2


async def test_an_item_that_was_removed_may_be_added_again(store: Store) -> None:
    await begin(store, "c")
    await store.responses.save(P, turn("r", conversation="c"))
    await store.conversations.delete_item(P, "c", "r.in")
    await store.conversations.add_items(P, "c", items("r.in"))
    assert await spoken(store, "c") == texts("r.out", "r.in")


async def test_a_position_is_not_used_again_below_a_fork(store: Store) -> None:
    await begin(store, "c", "a")
    await store.responses.save(P, turn("r", conversation="c"))
    await store.responses.save(P, turn("fork", "r"))
    await store.responses.delete(P, "r")
    await store.conversations.delete_item(P, "c", "r.in")
    await store.conversations.delete_item(P, "c", "r.out")
    await store.conversations.add_items(P, "c", items("later"))
    assert await store.responses.history(P, "fork") == [*texts("a"), *said("fork")]


async def test_an_item_that_a_turn_sends_again_is_in_the_conversation_once(store: Store) -> None:
    await begin(store, "c", "a")
    await store.responses.save(P, turn("r", conversation="c", asks=items("a", "b", "b")))
    assert await spoken(store, "c") == texts("a", "b", "r.out")
    assert await store.responses.history(P, "r") == texts("a", "b", "r.out")


async def test_deleting_a_response_leaves_its_conversation_as_it_was(store: Store) -> None:
    await begin(store, "c")
    await store.responses.save(P, turn("r", conversation="c"))
    await store.responses.delete(P, "r")
    assert await spoken(store, "c") == said("r")


async def test_items_outlive_their_conversation(store: Store) -> None:
    await begin(store, "c", "a")
    await store.responses.save(P, turn("r", conversation="c"))
    assert await store.conversations.delete(P, "c")
    assert not await store.conversations.delete(P, "c")
    assert await store.conversations.items(P, "c", PageQuery()) is None
    assert await store.items.get(P, "a") == item("a").json
    assert await store.responses.history(P, "r") == [*texts("a"), *said("r")]
    await store.responses.delete(P, "r")
    assert await store.items.get(P, "r.in") is None
    assert await store.items.get(P, "a") == item("a").json
    assert await counts(store) == {"responses": 0, "conversations": 0, "links": 1, "items": 1, "threads": 1}


async def test_an_empty_conversation_leaves_nothing_behind(store: Store) -> None:
    await begin(store, "c")
    await store.conversations.delete(P, "c")
    assert set((await counts(store)).values()) == {0}


async def test_a_turn_whose_conversation_was_deleted_meanwhile_is_kept_for_itself(store: Store) -> None:
    await begin(store, "c", "a")
    await store.conversations.delete(P, "c")
    await store.responses.save(P, turn("r", conversation="c"))
    await store.responses.save(P, turn("s", conversation="never there"))
    await store.responses.save(P, turn("t", conversation="c"))
    assert await store.conversations.get(P, "c") is None
    assert await store.responses.history(P, "t") == [*texts("a"), *said("t")]
    assert await store.responses.history(P, "r") == [*texts("a"), *said("r")]
    assert await store.responses.history(P, "s") == said("s")
    await store.responses.delete(P, "r")
    await store.responses.delete(P, "s")
    await store.responses.delete(P, "t")
    assert (await counts(store))["items"] == 1


# ---- the right to write a conversation --------------------------------------------------------------


async def test_a_conversation_has_one_writer_at_a_time(store: Store) -> None:
    await begin(store, "c")
    assert await store.conversations.lock(P, "c", "me", 60)
    assert await store.conversations.lock(P, "c", "me", 60)
    assert not await store.conversations.lock(P, "c", "you", 60)
    await store.conversations.unlock(P, "c", "you")
    assert not await store.conversations.lock(P, "c", "you", 60)
    await store.conversations.unlock(P, "c", "me")
    assert await store.conversations.lock(P, "c", "you", 60)


async def test_of_many_who_ask_at_once_one_gets_the_conversation(store: Store) -> None:
    await begin(store, "c")
    asked = (store.conversations.lock(P, "c", f"holder {n}", 60) for n in range(20))
    assert sum(await asyncio.gather(*asked)) == 1


async def test_a_lease_ends(store: Store, clock: Clock) -> None:
    await begin(store, "c")
    assert await store.conversations.lock(P, "c", "me", 60)
    clock.now += 59
    assert not await store.conversations.lock(P, "c", "you", 60)
    clock.now += 1
    assert await store.conversations.lock(P, "c", "you", 60)
    assert not await store.conversations.lock(P, "c", "me", 60)


async def test_conversations_of_a_project_are_listed_by_creation(store: Store) -> None:
    for name, created_at in (("a", 1), ("b", 2), ("c", 2), ("d", 3)):
        await store.conversations.create(P, ConversationRow(name, created_at, b"{}"), ())
    await store.conversations.create("other", ConversationRow("x", 9, b"{}"), ())

    first = await store.conversations.page(P, PageQuery(limit=2))
    rest = await store.conversations.page(P, PageQuery(limit=2, after="c"))

    assert ([row.id for row in first.rows], first.more) == (["d", "c"], True)
    assert ([row.id for row in rest.rows], rest.more) == (["b", "a"], False)
    up = await store.conversations.page(P, PageQuery(order="asc", after="b"))
    assert [row.id for row in up.rows] == ["c", "d"]
    with pytest.raises(UnknownCursor):
        await store.conversations.page(P, PageQuery(after="x"))
