"""Responses: chains, forks, what deleting leaves, and what is listed."""

import asyncio

import pytest
from tests.store.contract.kit import P, begin, counts, ids, item, items, said, spoken, talk, texts, turn

from antiphon.store.errors import UnknownCursor
from antiphon.store.paging import Order, PageQuery
from antiphon.store.responses import StoredResponse
from antiphon.store.runs import AcceptedRun
from antiphon.store.store import Store

# ---- responses and chains ---------------------------------------------------------------------------


async def test_a_response_is_read_back_as_it_was_saved(store: Store) -> None:
    row = turn("r", asks=items("a", "b"), says=items("c", "d"))
    await store.responses.save(P, row)
    assert await store.responses.get(P, "r") == StoredResponse(row.json, texts("c", "d"))
    assert await store.responses.history(P, "r") == texts("a", "b", "c", "d")
    assert await store.items.get(P, "c") == item("c").json


async def test_what_is_not_there_is_none_or_false(store: Store) -> None:
    query = PageQuery()
    assert await store.responses.get(P, "x") is None
    assert await store.responses.history(P, "x") is None
    assert await store.responses.input_items(P, "x", query) is None
    assert await store.items.get(P, "x") is None
    assert await store.conversations.get(P, "x") is None
    assert await store.conversations.update(P, "x", b"{}") is None
    assert await store.conversations.items(P, "x", query) is None
    assert await spoken(store, "x") is None
    assert await store.conversations.item(P, "x", "y") is None
    assert not await store.responses.delete(P, "x")
    assert not await store.conversations.delete(P, "x")
    assert not await store.conversations.add_items(P, "x", items("a"))
    assert not await store.conversations.delete_item(P, "x", "y")
    assert not await store.conversations.lock(P, "x", "me", 10)


async def test_the_texts_of_some_responses_are_their_own_items(store: Store) -> None:
    await talk(store, "a", "b", "c")
    found = await store.responses.texts(P, ["a", "c", "nobody's"])
    assert sorted(found) == [(name, json) for name in ("a", "c") for json in said(name)]
    assert await store.responses.texts("other", ["a"]) == []


async def test_a_chain_remembers_everything_before(store: Store) -> None:
    await talk(store, "r1", "r2", "r3")
    assert await store.responses.history(P, "r3") == said("r1", "r2", "r3")
    assert await store.responses.history(P, "r2") == said("r1", "r2")


async def test_a_history_that_can_no_longer_change_says_how_long_it_is(store: Store) -> None:
    await talk(store, "r1", "r2", "r3")
    await store.responses.save(P, turn("fork", "r1"))
    for name in ("r1", "r2", "r3", "fork"):
        assert await store.responses.settled(P, name) == len(await store.responses.history(P, name) or ())
    await store.responses.delete(P, "r2")
    assert await store.responses.settled(P, "r3") == len(said("r1", "r2", "r3"))
    for unknown in ("r2", "x"):
        assert await store.responses.settled(P, unknown) is None
    assert await store.responses.settled("other", "r3") is None


async def test_a_history_in_which_something_can_change_says_nothing_of_its_length(store: Store) -> None:
    await begin(store, "c")
    await store.responses.save(P, turn("said", conversation="c"))
    await store.responses.save(P, turn("behind", "said"))
    await store.runs.accept(P, AcceptedRun(turn("being made"), b"", [b"0"], streamed=True), queue=9)
    for name in ("said", "behind", "being made"):
        assert await store.responses.settled(P, name) is None


async def test_a_fork_shares_what_was_before_it_and_nothing_else(store: Store) -> None:
    await talk(store, "r1", "r2", "r3")
    await store.responses.save(P, turn("f1", "r1"))
    await store.responses.save(P, turn("f2", "f1"))
    await store.responses.save(P, turn("g", "f1"))
    assert await store.responses.history(P, "f2") == said("r1", "f1", "f2")
    assert await store.responses.history(P, "g") == said("r1", "f1", "g")
    assert await store.responses.history(P, "r3") == said("r1", "r2", "r3")
    assert (await counts(store))["threads"] == 3


async def test_turns_that_continue_one_response_at_once_fork(store: Store) -> None:
    await talk(store, "r")
    names = [f"c{n}" for n in range(10)]
    await asyncio.gather(*(store.responses.save(P, turn(name, "r")) for name in names))
    assert [await store.responses.history(P, name) for name in names] == [said("r", name) for name in names]
    assert (await counts(store))["threads"] == 10


async def test_a_response_without_items_can_be_continued(store: Store) -> None:
    await store.responses.save(P, turn("warm", asks=[], says=[]))
    await store.responses.save(P, turn("r", "warm"))
    assert await store.responses.history(P, "warm") == []
    assert await store.responses.history(P, "r") == said("r")
    assert (await counts(store))["threads"] == 1


async def test_a_turn_whose_predecessor_was_deleted_meanwhile_is_kept(store: Store) -> None:
    await store.responses.save(P, turn("r", "gone"))
    assert await store.responses.history(P, "r") == said("r")


async def test_a_chain_of_200_turns_takes_the_room_of_200_turns(store: Store) -> None:
    await talk(store, *(f"r{n}" for n in range(200)))
    assert await counts(store) == {
        "responses": 200,
        "conversations": 0,
        "links": 400,
        "items": 400,
        "threads": 1,
    }
    history = await store.responses.history(P, "r199")
    assert history is not None
    assert len(history) == 400


# ---- items that are sent again ----------------------------------------------------------------------


async def test_an_item_that_is_sent_again_is_stored_once(store: Store) -> None:
    await store.responses.save(P, turn("r1"))
    again = [*items("r1.in", "r1.out"), item("new")]
    await store.responses.save(P, turn("r2", asks=again))
    assert await store.responses.history(P, "r2") == texts("r1.in", "r1.out", "new", "r2.out")
    assert (await counts(store))["items"] == 4


async def test_what_stands_before_an_item_is_found_the_nearest_first(store: Store) -> None:
    await store.responses.save(P, turn("r1", asks=items("a"), says=items("b", "c", "d")))
    assert await store.items.before(P, "d", 2) == texts("c", "b")
    assert await store.items.before(P, "d", 9) == texts("c", "b", "a")
    assert await store.items.before(P, "a", 9) == []
    assert await store.items.before(P, "x", 9) == []
    assert await store.items.before("another", "d", 9) == []


async def test_an_item_that_is_sent_again_stands_where_it_was_made(store: Store) -> None:
    await store.responses.save(P, turn("r1", asks=items("a"), says=items("b", "c")))
    await store.responses.save(P, turn("r2", asks=[*items("q"), item("c", "other")]))
    assert await store.items.before(P, "c", 1) == texts("b")


async def test_an_id_that_a_client_uses_for_something_else_keeps_both(store: Store) -> None:
    for name, text in (("r1", "first"), ("r2", "second"), ("r3", "second")):
        await store.responses.save(P, turn(name, asks=[item("msg_1", text)], says=[]))
    assert await store.responses.history(P, "r1") == [item("msg_1", "first").json]
    assert await store.responses.history(P, "r3") == [item("msg_1", "second").json]
    assert await store.items.get(P, "msg_1") == item("msg_1", "second").json
    assert (await counts(store))["items"] == 2


async def test_what_remains_of_an_id_is_still_stored_once(store: Store) -> None:
    for name, text in (("r1", "first"), ("r2", "second")):
        await store.responses.save(P, turn(name, asks=[item("msg_1", text)], says=[]))
    await store.responses.delete(P, "r1")
    await store.responses.save(P, turn("r3", asks=[item("msg_1", "second")], says=[]))
    assert (await counts(store))["items"] == 1


async def test_an_item_may_come_twice_in_a_history(store: Store) -> None:
    await store.responses.save(P, turn("r1", asks=items("a", "b")))
    await store.responses.save(P, turn("r2", "r1", asks=items("a", "c", "c")))
    assert await store.responses.history(P, "r2") == texts("a", "b", "r1.out", "a", "c", "c", "r2.out")
    page = await store.responses.input_items(P, "r2", PageQuery(order="asc", after="a", limit=2))
    assert ids(page) == ["b", "r1.out"]


# ---- deleting ---------------------------------------------------------------------------------------


async def test_what_is_deleted_is_gone(store: Store) -> None:
    await store.responses.save(P, turn("r"))
    assert await store.responses.delete(P, "r")
    assert not await store.responses.delete(P, "r")
    assert await store.responses.get(P, "r") is None
    assert await store.items.get(P, "r.in") is None
    assert set((await counts(store)).values()) == {0}


async def test_deleting_in_the_middle_leaves_later_turns_as_they_were(store: Store) -> None:
    await talk(store, "r1", "r2", "r3")
    await store.responses.delete(P, "r2")
    assert await store.responses.get(P, "r2") is None
    assert await store.responses.history(P, "r3") == said("r1", "r2", "r3")
    page = await store.responses.input_items(P, "r3", PageQuery(order="asc"))
    assert ids(page) == ["r1.in", "r1.out", "r2.in", "r2.out", "r3.in"]


async def test_what_was_kept_for_later_turns_only_goes_with_them(store: Store) -> None:
    await talk(store, "r1", "r2", "r3")
    await store.responses.delete(P, "r2")
    await store.responses.delete(P, "r3")
    assert await store.responses.history(P, "r1") == said("r1")
    assert (await counts(store))["items"] == (await counts(store))["links"] == 2


async def test_a_chain_goes_on_where_its_tail_was_deleted(store: Store) -> None:
    await talk(store, "r1", "r2")
    await store.responses.delete(P, "r2")
    await store.responses.save(P, turn("r3", "r1"))
    assert await store.responses.history(P, "r3") == said("r1", "r3")
    assert (await counts(store))["threads"] == 1


async def test_a_fork_keeps_what_it_came_from(store: Store) -> None:
    await talk(store, "r1", "r2", "r3")
    await store.responses.save(P, turn("f", "r2"))
    for name in ("r1", "r2", "r3"):
        await store.responses.delete(P, name)
    assert await store.responses.history(P, "f") == said("r1", "r2", "f")
    assert (await counts(store))["items"] == 6
    await store.responses.delete(P, "f")
    assert set((await counts(store)).values()) == {0}


async def test_an_item_in_two_chains_goes_with_the_second(store: Store) -> None:
    await store.responses.save(P, turn("r1", asks=items("a")))
    await store.responses.save(P, turn("r2", asks=items("a")))
    await store.responses.delete(P, "r1")
    assert await store.items.get(P, "a") is not None
    await store.responses.delete(P, "r2")
    assert await store.items.get(P, "a") is None


# ---- input items ------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_input_items_are_paged_through_forks_without_gaps(
    store: Store, order: Order, limit: int
) -> None:
    await talk(store, "r1", "r2")
    await store.responses.save(P, turn("f1", "r1"))
    await store.responses.save(P, turn("f2", "f1"))
    await store.responses.save(P, turn("g", "f1", asks=items("x", "y")))
    expected = ["r1.in", "r1.out", "f1.in", "f1.out", "x", "y"]
    found: list[str] = []
    more = True
    while more:
        after = found[-1] if found else None
        page = await store.responses.input_items(P, "g", PageQuery(limit=limit, order=order, after=after))
        assert page is not None
        found += ids(page)
        more = page.more
    assert found == (expected if order == "asc" else expected[::-1])


async def test_a_cursor_that_is_not_in_the_list_is_not_found(store: Store) -> None:
    await talk(store, "r1", "r2")
    await begin(store, "c", "a")
    for after in ("nothing", "r1.out"):
        with pytest.raises(UnknownCursor) as caught:
            await store.responses.input_items(P, "r1", PageQuery(after=after))
        assert (caught.value.listed, caught.value.after) == ("item", after)
        with pytest.raises(UnknownCursor):
            await store.conversations.items(P, "c", PageQuery(after=after))
