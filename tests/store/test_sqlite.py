"""The embedded store, on real files. `test_sqlite_model.py` compares it with a naive model."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path

import pytest

from antiphon.protocol import errors
from antiphon.store.base import ConversationRow, ItemRow, Order, Page, PageQuery, ResponseRow, StoredResponse
from antiphon.store.open import UnknownStore, open_store
from antiphon.store.sqlite import SqliteStore
from antiphon.store.sqlite_connection import Incompatible

P = "project"
TABLES = ("responses", "conversations", "links", "items", "threads")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "antiphon.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(file)
    yield store
    await store.close()


def item(item_id: str, text: str | None = None) -> ItemRow:
    return ItemRow(id=item_id, json=f'{{"id":"{item_id}","text":"{text or item_id}"}}'.encode())


def items(*ids: str) -> list[ItemRow]:
    return [item(item_id) for item_id in ids]


def texts(*ids: str) -> list[bytes]:
    return [row.json for row in items(*ids)]


def turn(
    name: str,
    after: str | None = None,
    *,
    conversation: str | None = None,
    asks: Sequence[ItemRow] | None = None,
    says: Sequence[ItemRow] | None = None,
) -> ResponseRow:
    """A response `name` with the input `name.in` and the output `name.out`."""
    return ResponseRow(
        id=name,
        created_at=1,
        json=f'{{"id":"{name}"}}'.encode(),
        input=items(f"{name}.in") if asks is None else asks,
        output=items(f"{name}.out") if says is None else says,
        previous_response_id=after,
        conversation_id=conversation,
    )


def said(*names: str) -> list[bytes]:
    """The items of whole turns."""
    return texts(*(f"{name}.{side}" for name in names for side in ("in", "out")))


async def talk(store: SqliteStore, *names: str) -> None:
    """A chain of turns."""
    for before, name in zip([None, *names], names, strict=False):
        await store.save_response(P, turn(name, before))


async def begin(store: SqliteStore, name: str, *ids: str) -> None:
    """A conversation."""
    await store.create_conversation(P, ConversationRow(name, 1, b"{}"), items(*ids))


def counts(file: Path) -> dict[str, int]:
    with sqlite3.connect(file) as db:
        found = {table: db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}
    db.close()
    return found


def ids(page: Page | None) -> list[str]:
    assert page is not None
    return [row.id for row in page.items]


# ---- responses and chains ---------------------------------------------------------------------------


async def test_a_response_is_read_back_as_it_was_saved(store: SqliteStore) -> None:
    row = turn("r", asks=items("a", "b"), says=items("c", "d"))
    await store.save_response(P, row)
    assert await store.response(P, "r") == StoredResponse(row.json, texts("c", "d"))
    assert await store.history(P, "r") == texts("a", "b", "c", "d")
    assert await store.item(P, "c") == item("c").json


async def test_what_is_not_there_is_none_or_false(store: SqliteStore) -> None:
    query = PageQuery()
    assert await store.response(P, "x") is None
    assert await store.history(P, "x") is None
    assert await store.input_items(P, "x", query) is None
    assert await store.item(P, "x") is None
    assert await store.conversation(P, "x") is None
    assert await store.update_conversation(P, "x", b"{}") is None
    assert await store.conversation_items(P, "x", query) is None
    assert await store.conversation_history(P, "x") is None
    assert await store.conversation_item(P, "x", "y") is None
    assert not await store.delete_response(P, "x")
    assert not await store.delete_conversation(P, "x")
    assert not await store.add_items(P, "x", items("a"))
    assert not await store.delete_conversation_item(P, "x", "y")
    assert not await store.lock_conversation(P, "x", "me", 10)


async def test_a_chain_remembers_everything_before(store: SqliteStore) -> None:
    await talk(store, "r1", "r2", "r3")
    assert await store.history(P, "r3") == said("r1", "r2", "r3")
    assert await store.history(P, "r2") == said("r1", "r2")


async def test_a_fork_shares_what_was_before_it_and_nothing_else(store: SqliteStore, file: Path) -> None:
    await talk(store, "r1", "r2", "r3")
    await store.save_response(P, turn("f1", "r1"))
    await store.save_response(P, turn("f2", "f1"))
    await store.save_response(P, turn("g", "f1"))
    assert await store.history(P, "f2") == said("r1", "f1", "f2")
    assert await store.history(P, "g") == said("r1", "f1", "g")
    assert await store.history(P, "r3") == said("r1", "r2", "r3")
    assert counts(file)["threads"] == 3


async def test_turns_that_continue_one_response_at_once_fork(store: SqliteStore, file: Path) -> None:
    await talk(store, "r")
    names = [f"c{n}" for n in range(10)]
    await asyncio.gather(*(store.save_response(P, turn(name, "r")) for name in names))
    assert [await store.history(P, name) for name in names] == [said("r", name) for name in names]
    assert counts(file)["threads"] == 10


async def test_a_response_without_items_can_be_continued(store: SqliteStore, file: Path) -> None:
    await store.save_response(P, turn("warm", asks=[], says=[]))
    await store.save_response(P, turn("r", "warm"))
    assert await store.history(P, "warm") == []
    assert await store.history(P, "r") == said("r")
    assert counts(file)["threads"] == 1


async def test_a_turn_whose_predecessor_was_deleted_meanwhile_is_kept(store: SqliteStore) -> None:
    await store.save_response(P, turn("r", "gone"))
    assert await store.history(P, "r") == said("r")


async def test_a_chain_of_200_turns_takes_the_room_of_200_turns(store: SqliteStore, file: Path) -> None:
    await talk(store, *(f"r{n}" for n in range(200)))
    assert counts(file) == {
        "responses": 200,
        "conversations": 0,
        "links": 400,
        "items": 400,
        "threads": 1,
    }
    history = await store.history(P, "r199")
    assert history is not None
    assert len(history) == 400


# ---- items that are sent again ----------------------------------------------------------------------


async def test_an_item_that_is_sent_again_is_stored_once(store: SqliteStore, file: Path) -> None:
    await store.save_response(P, turn("r1"))
    again = [*items("r1.in", "r1.out"), item("new")]
    await store.save_response(P, turn("r2", asks=again))
    assert await store.history(P, "r2") == texts("r1.in", "r1.out", "new", "r2.out")
    assert counts(file)["items"] == 4


async def test_an_id_that_a_client_uses_for_something_else_keeps_both(store: SqliteStore, file: Path) -> None:
    for name, text in (("r1", "first"), ("r2", "second"), ("r3", "second")):
        await store.save_response(P, turn(name, asks=[item("msg_1", text)], says=[]))
    assert await store.history(P, "r1") == [item("msg_1", "first").json]
    assert await store.history(P, "r3") == [item("msg_1", "second").json]
    assert await store.item(P, "msg_1") == item("msg_1", "second").json
    assert counts(file)["items"] == 2


async def test_what_remains_of_an_id_is_still_stored_once(store: SqliteStore, file: Path) -> None:
    for name, text in (("r1", "first"), ("r2", "second")):
        await store.save_response(P, turn(name, asks=[item("msg_1", text)], says=[]))
    await store.delete_response(P, "r1")
    await store.save_response(P, turn("r3", asks=[item("msg_1", "second")], says=[]))
    assert counts(file)["items"] == 1


async def test_an_item_may_come_twice_in_a_history(store: SqliteStore) -> None:
    await store.save_response(P, turn("r1", asks=items("a", "b")))
    await store.save_response(P, turn("r2", "r1", asks=items("a", "c", "c")))
    assert await store.history(P, "r2") == texts("a", "b", "r1.out", "a", "c", "c", "r2.out")
    page = await store.input_items(P, "r2", PageQuery(order="asc", after="a", limit=2))
    assert ids(page) == ["b", "r1.out"]


# ---- deleting ---------------------------------------------------------------------------------------


async def test_what_is_deleted_is_gone(store: SqliteStore, file: Path) -> None:
    await store.save_response(P, turn("r"))
    assert await store.delete_response(P, "r")
    assert not await store.delete_response(P, "r")
    assert await store.response(P, "r") is None
    assert await store.item(P, "r.in") is None
    assert set(counts(file).values()) == {0}


async def test_deleting_in_the_middle_leaves_later_turns_as_they_were(store: SqliteStore) -> None:
    await talk(store, "r1", "r2", "r3")
    await store.delete_response(P, "r2")
    assert await store.response(P, "r2") is None
    assert await store.history(P, "r3") == said("r1", "r2", "r3")
    page = await store.input_items(P, "r3", PageQuery(order="asc"))
    assert ids(page) == ["r1.in", "r1.out", "r2.in", "r2.out", "r3.in"]


async def test_what_was_kept_for_later_turns_only_goes_with_them(store: SqliteStore, file: Path) -> None:
    await talk(store, "r1", "r2", "r3")
    await store.delete_response(P, "r2")
    await store.delete_response(P, "r3")
    assert await store.history(P, "r1") == said("r1")
    assert counts(file)["items"] == counts(file)["links"] == 2


async def test_a_chain_goes_on_where_its_tail_was_deleted(store: SqliteStore, file: Path) -> None:
    await talk(store, "r1", "r2")
    await store.delete_response(P, "r2")
    await store.save_response(P, turn("r3", "r1"))
    assert await store.history(P, "r3") == said("r1", "r3")
    assert counts(file)["threads"] == 1


async def test_a_fork_keeps_what_it_came_from(store: SqliteStore, file: Path) -> None:
    await talk(store, "r1", "r2", "r3")
    await store.save_response(P, turn("f", "r2"))
    for name in ("r1", "r2", "r3"):
        await store.delete_response(P, name)
    assert await store.history(P, "f") == said("r1", "r2", "f")
    assert counts(file)["items"] == 6
    await store.delete_response(P, "f")
    assert set(counts(file).values()) == {0}


async def test_an_item_in_two_chains_goes_with_the_second(store: SqliteStore) -> None:
    await store.save_response(P, turn("r1", asks=items("a")))
    await store.save_response(P, turn("r2", asks=items("a")))
    await store.delete_response(P, "r1")
    assert await store.item(P, "a") is not None
    await store.delete_response(P, "r2")
    assert await store.item(P, "a") is None


async def test_deleted_text_is_overwritten_on_disk(file: Path) -> None:
    store = await SqliteStore.open(file)
    await store.save_response(P, turn("r", asks=[item("a", "a secret " * 1000)]))
    await store.delete_response(P, "r")
    await store.close()
    assert b"a secret" not in await asyncio.to_thread(file.read_bytes)


# ---- input items ------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_input_items_are_paged_through_forks_without_gaps(
    store: SqliteStore, order: Order, limit: int
) -> None:
    await talk(store, "r1", "r2")
    await store.save_response(P, turn("f1", "r1"))
    await store.save_response(P, turn("f2", "f1"))
    await store.save_response(P, turn("g", "f1", asks=items("x", "y")))
    expected = ["r1.in", "r1.out", "f1.in", "f1.out", "x", "y"]
    found: list[str] = []
    more = True
    while more:
        after = found[-1] if found else None
        page = await store.input_items(P, "g", PageQuery(limit=limit, order=order, after=after))
        assert page is not None
        found += ids(page)
        more = page.more
    assert found == (expected if order == "asc" else expected[::-1])


async def test_a_cursor_that_is_not_in_the_list_is_not_found(store: SqliteStore) -> None:
    await talk(store, "r1", "r2")
    await begin(store, "c", "a")
    for after in ("nothing", "r1.out"):
        with pytest.raises(errors.NotFound) as caught:
            await store.input_items(P, "r1", PageQuery(after=after))
        assert caught.value.param == "after"
        with pytest.raises(errors.NotFound):
            await store.conversation_items(P, "c", PageQuery(after=after))


# ---- conversations ----------------------------------------------------------------------------------


async def test_a_conversation_is_read_back_as_it_was_made(store: SqliteStore) -> None:
    row = ConversationRow("c", 7, b'{"a":"b"}')
    await store.create_conversation(P, row, items("a", "b"))
    assert await store.conversation(P, "c") == row
    changed = ConversationRow("c", 7, b"{}")
    assert await store.update_conversation(P, "c", b"{}") == changed
    assert await store.conversation(P, "c") == changed
    assert await store.conversation_history(P, "c") == texts("a", "b")
    assert await store.conversation_item(P, "c", "b") == item("b").json


async def test_conversation_items_are_paged_in_both_orders(store: SqliteStore) -> None:
    await begin(store, "c", *"abcde")
    await store.delete_conversation_item(P, "c", "c")
    first = await store.conversation_items(P, "c", PageQuery(limit=2))
    assert first == Page(items=items("e", "d"), more=True)
    last = await store.conversation_items(P, "c", PageQuery(limit=2, after="d"))
    assert last == Page(items=items("b", "a"), more=False)
    up = await store.conversation_items(P, "c", PageQuery(limit=2, order="asc", after="a"))
    assert up == Page(items=items("b", "d"), more=True)


async def test_a_turn_joins_the_conversation_input_first(store: SqliteStore, file: Path) -> None:
    await begin(store, "c", "a")
    await store.save_response(P, turn("r1", conversation="c"))
    await store.add_items(P, "c", items("b"))
    await store.save_response(P, turn("r2", conversation="c"))
    assert await store.conversation_history(P, "c") == [*texts("a"), *said("r1"), *texts("b"), *said("r2")]
    assert await store.history(P, "r1") == [*texts("a"), *said("r1")]
    inputs = await store.input_items(P, "r2", PageQuery(order="asc"))
    assert ids(inputs) == ["a", "r1.in", "r1.out", "b", "r2.in"]
    assert counts(file)["threads"] == 1


async def test_chaining_onto_a_turn_of_a_conversation_leaves_the_conversation_alone(
    store: SqliteStore,
) -> None:
    await begin(store, "c")
    await store.save_response(P, turn("r", conversation="c"))
    await store.save_response(P, turn("aside", "r"))
    await store.save_response(P, turn("more", "aside"))
    assert await store.conversation_history(P, "c") == said("r")
    assert await store.history(P, "more") == said("r", "aside", "more")


async def test_items_are_added_all_or_none(store: SqliteStore) -> None:
    await begin(store, "c", "a")
    for wrong in (items("b", "a"), items("b", "c", "b")):
        with pytest.raises(errors.InvalidRequest, match=r"Duplicate item found with id [ab]") as caught:
            await store.add_items(P, "c", wrong)
        assert caught.value.param == "items"
    with pytest.raises(errors.InvalidRequest):
        await begin(store, "d", "x", "x")
    assert await store.conversation_history(P, "c") == texts("a")
    assert await store.conversation(P, "d") is None
    assert await store.item(P, "b") is None
    assert await store.add_items(P, "c", items("b"))


async def test_an_item_that_was_removed_is_hidden_but_stays_in_its_response(
    store: SqliteStore, file: Path
) -> None:
    await begin(store, "c", "a")
    await store.save_response(P, turn("r1", conversation="c"))
    await store.save_response(P, turn("r2", conversation="c"))
    for removed in ("a", "r1.in", "r1.out"):
        assert await store.delete_conversation_item(P, "c", removed)
        assert not await store.delete_conversation_item(P, "c", removed)
        assert await store.conversation_item(P, "c", removed) is None
    assert await store.conversation_history(P, "c") == said("r2")
    assert await store.history(P, "r2") == said("r2")
    assert ids(await store.input_items(P, "r2", PageQuery())) == ["r2.in"]
    assert ids(await store.input_items(P, "r1", PageQuery())) == ["r1.in"]
    assert await store.response(P, "r1") == StoredResponse(b'{"id":"r1"}', texts("r1.out"))
    assert await store.item(P, "a") is None
    await store.delete_response(P, "r1")
    assert await store.item(P, "r1.in") is None
    assert counts(file)["links"] == 2


async def test_an_item_that_was_removed_may_be_added_again(store: SqliteStore) -> None:
    await begin(store, "c")
    await store.save_response(P, turn("r", conversation="c"))
    await store.delete_conversation_item(P, "c", "r.in")
    await store.add_items(P, "c", items("r.in"))
    assert await store.conversation_history(P, "c") == texts("r.out", "r.in")


async def test_a_position_is_not_used_again_below_a_fork(store: SqliteStore) -> None:
    await begin(store, "c", "a")
    await store.save_response(P, turn("r", conversation="c"))
    await store.save_response(P, turn("fork", "r"))
    await store.delete_response(P, "r")
    await store.delete_conversation_item(P, "c", "r.in")
    await store.delete_conversation_item(P, "c", "r.out")
    await store.add_items(P, "c", items("later"))
    assert await store.history(P, "fork") == [*texts("a"), *said("fork")]


async def test_an_item_that_a_turn_sends_again_is_in_the_conversation_once(store: SqliteStore) -> None:
    await begin(store, "c", "a")
    await store.save_response(P, turn("r", conversation="c", asks=items("a", "b", "b")))
    assert await store.conversation_history(P, "c") == texts("a", "b", "r.out")
    assert await store.history(P, "r") == texts("a", "b", "r.out")


async def test_deleting_a_response_leaves_its_conversation_as_it_was(store: SqliteStore) -> None:
    await begin(store, "c")
    await store.save_response(P, turn("r", conversation="c"))
    await store.delete_response(P, "r")
    assert await store.conversation_history(P, "c") == said("r")


async def test_items_outlive_their_conversation(store: SqliteStore, file: Path) -> None:
    await begin(store, "c", "a")
    await store.save_response(P, turn("r", conversation="c"))
    assert await store.delete_conversation(P, "c")
    assert not await store.delete_conversation(P, "c")
    assert await store.conversation_items(P, "c", PageQuery()) is None
    assert await store.item(P, "a") == item("a").json
    assert await store.history(P, "r") == [*texts("a"), *said("r")]
    await store.delete_response(P, "r")
    assert await store.item(P, "r.in") is None
    assert await store.item(P, "a") == item("a").json
    assert counts(file) == {"responses": 0, "conversations": 0, "links": 1, "items": 1, "threads": 1}


async def test_an_empty_conversation_leaves_nothing_behind(store: SqliteStore, file: Path) -> None:
    await begin(store, "c")
    await store.delete_conversation(P, "c")
    assert set(counts(file).values()) == {0}


async def test_a_turn_whose_conversation_was_deleted_meanwhile_is_kept_for_itself(
    store: SqliteStore, file: Path
) -> None:
    await begin(store, "c", "a")
    await store.delete_conversation(P, "c")
    await store.save_response(P, turn("r", conversation="c"))
    await store.save_response(P, turn("s", conversation="never there"))
    await store.save_response(P, turn("t", conversation="c"))
    assert await store.conversation(P, "c") is None
    assert await store.history(P, "t") == [*texts("a"), *said("t")]
    assert await store.history(P, "r") == [*texts("a"), *said("r")]
    assert await store.history(P, "s") == said("s")
    await store.delete_response(P, "r")
    await store.delete_response(P, "s")
    await store.delete_response(P, "t")
    assert counts(file)["items"] == 1


# ---- the right to write a conversation --------------------------------------------------------------


async def test_a_conversation_has_one_writer_at_a_time(store: SqliteStore) -> None:
    await begin(store, "c")
    assert await store.lock_conversation(P, "c", "me", 60)
    assert await store.lock_conversation(P, "c", "me", 60)
    assert not await store.lock_conversation(P, "c", "you", 60)
    await store.unlock_conversation(P, "c", "you")
    assert not await store.lock_conversation(P, "c", "you", 60)
    await store.unlock_conversation(P, "c", "me")
    assert await store.lock_conversation(P, "c", "you", 60)


async def test_of_many_who_ask_at_once_one_gets_the_conversation(store: SqliteStore) -> None:
    await begin(store, "c")
    asked = (store.lock_conversation(P, "c", f"holder {n}", 60) for n in range(20))
    assert sum(await asyncio.gather(*asked)) == 1


async def test_a_lease_ends(file: Path) -> None:
    now = 1000.0
    store = await SqliteStore.open(file, clock=lambda: now)
    await begin(store, "c")
    assert await store.lock_conversation(P, "c", "me", 60)
    now = 1059.0
    assert not await store.lock_conversation(P, "c", "you", 60)
    now = 1060.0
    assert await store.lock_conversation(P, "c", "you", 60)
    assert not await store.lock_conversation(P, "c", "me", 60)
    await store.close()


# ---- projects ---------------------------------------------------------------------------------------


async def test_no_method_sees_another_project(store: SqliteStore) -> None:
    other, query = "other", PageQuery()
    await store.save_response(P, turn("r"))
    await begin(store, "c", "a")
    assert await store.response(other, "r") is None
    assert await store.history(other, "r") is None
    assert await store.input_items(other, "r", query) is None
    assert await store.item(other, "r.in") is None
    assert await store.conversation(other, "c") is None
    assert await store.update_conversation(other, "c", b"[]") is None
    assert await store.conversation_items(other, "c", query) is None
    assert await store.conversation_history(other, "c") is None
    assert await store.conversation_item(other, "c", "a") is None
    assert not await store.delete_response(other, "r")
    assert not await store.delete_conversation(other, "c")
    assert not await store.add_items(other, "c", items("b"))
    assert not await store.delete_conversation_item(other, "c", "a")
    assert not await store.lock_conversation(other, "c", "me", 60)
    await store.lock_conversation(P, "c", "me", 60)
    await store.unlock_conversation(other, "c", "me")
    assert not await store.lock_conversation(P, "c", "you", 60)
    await store.save_response(other, turn("s", "r"))
    await store.save_response(other, turn("t", conversation="c"))
    assert await store.history(other, "s") == said("s")
    assert await store.history(other, "t") == said("t")
    assert await store.conversation_history(P, "c") == texts("a")
    assert await store.conversation(P, "c") == ConversationRow("c", 1, b"{}")


async def test_two_projects_may_use_the_same_ids(store: SqliteStore) -> None:
    for project in (P, "other"):
        await store.save_response(project, turn("r", asks=[item("a", project)]))
        row = ConversationRow("c", 1, b"{}")
        await store.create_conversation(project, row, [item("b", project)])
    await store.delete_response("other", "r")
    await store.delete_conversation_item("other", "c", "b")
    assert await store.history(P, "r") == [item("a", P).json, *texts("r.out")]
    assert await store.conversation_history(P, "c") == [item("b", P).json]


# ---- the file ---------------------------------------------------------------------------------------


async def test_everything_is_there_after_closing_and_opening(file: Path) -> None:
    store = await open_store(f"sqlite:///{file}")
    await store.save_response(P, turn("r1"))
    await store.close()
    store = await open_store(f"sqlite:///{file}")
    await store.save_response(P, turn("r2", "r1"))
    assert await store.history(P, "r2") == said("r1", "r2")
    await store.close()


async def test_closing_waits_for_what_was_asked(file: Path) -> None:
    store = await SqliteStore.open(file)
    saving = [asyncio.ensure_future(store.save_response(P, turn(f"r{n}"))) for n in range(100)]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*saving)
    assert counts(file)["responses"] == 100
    with pytest.raises(RuntimeError, match="closed"):
        await store.save_response(P, turn("late"))
    await store.close()


async def test_a_write_is_done_though_nobody_waits_for_it(store: SqliteStore) -> None:
    saving = asyncio.ensure_future(store.save_response(P, turn("r")))
    await asyncio.sleep(0)
    saving.cancel()
    await store.save_response(P, turn("s"))
    assert await store.history(P, "r") == said("r")


async def test_a_write_that_fails_does_not_hurt_those_beside_it(store: SqliteStore, file: Path) -> None:
    await store.save_response(P, turn("r"))
    await begin(store, "c", "a")
    jobs: list[Awaitable[object]] = []
    for n in range(10):
        jobs.append(store.save_response(P, turn(f"r{n}", "r")))
        jobs.append(store.save_response(P, turn("r", asks=items(f"lost {n}"))))
        jobs.append(store.add_items(P, "c", items(f"b{n}", "a")))
    outcomes = await asyncio.gather(*jobs, return_exceptions=True)
    kinds = [type(outcome) for outcome in outcomes]
    assert kinds == [type(None), sqlite3.IntegrityError, errors.InvalidRequest] * 10
    assert [await store.history(P, f"r{n}") for n in range(10)] == [said("r", f"r{n}") for n in range(10)]
    assert counts(file) == {"responses": 11, "conversations": 1, "links": 23, "items": 23, "threads": 11}


_CHILD = """
import asyncio, sys
from antiphon.store.base import ItemRow, ResponseRow
from antiphon.store.open import open_store

async def save(store, row):
    await store.save_response("project", row)
    print(row.id, flush=True)

async def main(file, name, rounds):
    store = await open_store(f"sqlite:///{file}")
    before = [None] * 8
    for n in range(rounds):
        rows = []
        for lane in range(8):
            id = f"{name}.{lane}.{n}"
            item = ItemRow(id + ".in", b'"' + id.encode() * 50 + b'"')
            rows.append(ResponseRow(id, 1, b"{}", [item], [], previous_response_id=before[lane]))
        await asyncio.gather(*(save(store, row) for row in rows))
        before = [row.id for row in rows]
    await store.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def writing_process(file: Path, name: str, rounds: int) -> subprocess.Popen[str]:
    """A process that saves eight chains side by side, and prints the id of each response it has saved."""
    command = [sys.executable, "-c", _CHILD, str(file), name, str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def test_what_was_acknowledged_survives_kill_9(file: Path) -> None:
    with writing_process(file, "a", 1_000_000) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline().strip() for _ in range(500)]
        process.kill()
        acknowledged += process.stdout.read().split()
    store = await SqliteStore.open(file)
    for name in acknowledged:
        history = await store.history(P, name)
        assert history is not None
        assert len(history) == int(name.rpartition(".")[2]) + 1
    await store.close()


async def test_several_processes_open_and_write_one_file_at_once(file: Path) -> None:
    processes = [writing_process(file, name, 25) for name in ("a", "b", "c")]
    for process in processes:
        printed, _ = process.communicate()
        assert process.returncode == 0
        assert len(printed.split()) == 200
    assert counts(file) == {
        "responses": 600,
        "conversations": 0,
        "links": 600,
        "items": 600,
        "threads": 24,
    }


async def test_the_file_is_for_its_owner_only(store: SqliteStore, file: Path) -> None:
    await talk(store, "r")
    assert {path.stat().st_mode & 0o777 for path in file.parent.iterdir()} == {0o600}


async def test_a_file_from_a_newer_version_is_refused(file: Path) -> None:
    await (await SqliteStore.open(file)).close()
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(Incompatible, match="newer version"):
        await SqliteStore.open(file)


@pytest.mark.parametrize(
    "url", ["postgresql://host/db", "sqlite:///:memory:", "sqlite://file", "file.db", "sqlite:///"]
)
async def test_a_url_that_names_no_store_says_what_would(url: str) -> None:
    with pytest.raises(UnknownStore, match="sqlite:///path/to/file"):
        await open_store(url)
