"""Pictures and other data of items lie beside the rows, once, and as long as something has them."""

import asyncio
import base64
import random
from collections.abc import Sequence

import pytest
from tests.store.contract.homes import Home
from tests.store.contract.kit import DAY, Clock, P, begin, counts, spoken, turn

from antiphon.protocol.ids import new_blob_name
from antiphon.store.errors import DuplicateItem, LostRun
from antiphon.store.file_storage import ORPHAN_SECONDS, FileStorage
from antiphon.store.inline_data import REMOVE, Torn
from antiphon.store.items import ItemRow
from antiphon.store.paging import PageQuery
from antiphon.store.run_log import Claim, Record, RunEnd
from antiphon.store.runs import AcceptedRun
from antiphon.store.statements import Statement, Steps
from antiphon.store.store import Store

SIZE = 6000
LEASE = 5.0


def picture(item_id: str, color: int = 0) -> ItemRow:
    """An item with a picture of this colour."""
    data = base64.b64encode(random.Random(color).randbytes(SIZE))
    return ItemRow(item_id, b'{"id":"%b","result":"%b"}' % (item_id.encode(), data))


def event(color: int) -> bytes:
    return picture("event", color).json


async def names(home: Home) -> list[str]:
    """Of all blobs."""
    return [name async for some in home.blobs.orphans(-1) for name in some]


async def blobs(home: Home) -> int:
    """How many there are."""
    return len(await names(home))


async def cleared(store: Store) -> None:
    """What is due is done."""
    for job in await store.work.claim([REMOVE], "me", LEASE, 100):
        await store.inline_data.remove(job)
        await store.work.finish(job)


async def largest(store: Store) -> int:
    """Bytes of the largest row."""
    return await store.write(_largest)


def _largest() -> Steps[int]:
    found = [0]
    for table in ("items", "events"):
        ((size,),) = yield Statement(f"SELECT coalesce(max(length(json)), 0) FROM {table}")
        found.append(size)
    return max(found)


async def show(store: Store, name: str, *shown: ItemRow, after: str | None = None) -> None:
    """A response with pictures."""
    await store.responses.save(P, turn(name, after, asks=(), says=shown))


async def test_pictures_are_read_as_they_came_and_are_not_in_rows(store: Store, home: Home) -> None:
    await store.responses.save(P, turn("a", asks=[picture("in", 1)], says=[picture("out", 2)]))

    assert await largest(store) < 200
    assert await blobs(home) == 2
    found = await store.responses.get(P, "a")
    assert found is not None
    assert found.output == [picture("out", 2).json]
    whole = [picture("in", 1).json, picture("out", 2).json]
    assert await store.responses.history(P, "a") == whole
    page = await store.responses.input_items(P, "a", PageQuery(10, "asc", None))
    assert page is not None
    assert page.rows == [picture("in", 1)]
    assert await store.items.get(P, "out") == whole[1]
    assert await store.items.before(P, "out", 1) == [whole[0]]


async def test_pictures_of_conversations_are_read_as_they_came(store: Store) -> None:
    await begin(store, "c")
    assert await store.conversations.add_items(P, "c", [picture("a", 1), picture("b", 1)])

    assert await largest(store) < 200
    whole = [picture("a", 1).json, picture("b", 1).json]
    assert await spoken(store, "c") == whole
    assert await store.conversations.item(P, "c", "b") == whole[1]
    page = await store.conversations.items(P, "c", PageQuery(1, "desc", None))
    assert page is not None
    assert (page.rows, page.more) == ([picture("b", 1)], True)


async def test_what_lacks_its_picture_says_so_until_it_is_there_again(store: Store, home: Home) -> None:
    rows = [ItemRow("words", b'{"id":"words"}'), picture("a")]
    await begin(store, "c")
    await store.conversations.add_items(P, "c", rows)
    await store.responses.save(P, turn("r", asks=rows, says=()))
    (name,) = await names(home)
    aside = new_blob_name()
    await home.blobs.duplicate(name, aside)
    await home.blobs.remove([name])

    for found in (await spoken(store, "c"), await store.responses.history(P, "r")):
        assert found == [rows[0].json, b'{"id":"a","result":""}']
        assert [isinstance(row, Torn) for row in found] == [False, True]
    await home.blobs.duplicate(aside, name)
    for found in (await spoken(store, "c"), await store.responses.history(P, "r")):
        assert found == [row.json for row in rows]
        assert not any(isinstance(row, Torn) for row in found)


async def test_an_item_that_comes_again_with_its_picture_is_the_one_that_is_there(
    store: Store, home: Home
) -> None:
    await show(store, "a", picture("out"))
    await store.responses.save(P, turn("b", asks=[picture("out")], says=()))
    assert (await counts(store))["items"] == 1
    assert await blobs(home) == 1


async def test_a_picture_goes_with_the_last_item_that_has_it(store: Store, home: Home) -> None:
    await show(store, "a", picture("one"))
    await show(store, "b", picture("two"), picture("three", 3))
    await begin(store, "c")
    await store.conversations.add_items(P, "c", [picture("four")])
    assert await blobs(home) == 2

    await store.responses.delete(P, "b")
    await cleared(store)
    assert await blobs(home) == 1
    await store.responses.delete(P, "a")
    await cleared(store)
    assert await store.conversations.item(P, "c", "four") == picture("four").json
    await store.conversations.delete_item(P, "c", "four")
    await cleared(store)
    assert await blobs(home) == 0
    assert (await counts(store, "inline_data", "inline_data_uses")) == dict.fromkeys(
        ("responses", "links", "items", "inline_data", "inline_data_uses"), 0
    ) | {"conversations": 1, "threads": 1}


async def test_a_picture_in_the_middle_of_a_chain_stays_while_a_later_response_needs_it(
    store: Store, home: Home
) -> None:
    await show(store, "a", picture("one", 1))
    await show(store, "b", picture("two", 2), after="a")
    await store.responses.delete(P, "a")
    await cleared(store)
    assert await store.responses.history(P, "b") == [picture("one", 1).json, picture("two", 2).json]
    await store.responses.delete(P, "b")
    await cleared(store)
    assert await blobs(home) == 0


async def test_pictures_go_when_responses_are_over(store: Store, home: Home) -> None:
    await show(store, "a", picture("one"))
    assert await store.responses.expire(DAY, 10) == 1
    await cleared(store)
    assert await blobs(home) == 0


async def test_an_item_whose_picture_the_disk_has_lost_is_shown_without_it(store: Store, home: Home) -> None:
    await show(store, "a", picture("one"))
    await home.blobs.remove(await names(home))
    assert await store.items.get(P, "one") == b'{"id":"one","result":""}'
    await store.responses.delete(P, "a")
    await cleared(store)


async def test_each_project_has_its_own(store: Store, home: Home) -> None:
    await show(store, "a", picture("one"))
    await store.responses.save("other", turn("a", asks=(), says=[picture("one")]))
    await store.responses.delete(P, "a")
    await cleared(store)
    assert await store.items.get("other", "one") == picture("one").json
    assert await store.items.get(P, "one") is None
    assert await blobs(home) == 1


async def test_what_is_refused_leaves_neither_a_row_nor_its_bytes(store: Store, home: Home) -> None:
    await begin(store, "c")
    with pytest.raises(DuplicateItem):
        await store.conversations.add_items(P, "c", [picture("a"), picture("a")])
    assert not await store.conversations.add_items(P, "gone", [picture("b", 1)])

    assert (await counts(store, "inline_data"))["inline_data"] == 0
    assert await blobs(home) == 0


async def test_bytes_without_a_row_are_swept_once_they_can_get_none_any_more(
    store: Store, home: Home, clock: Clock
) -> None:
    async with home.blobs.incoming(new_blob_name()) as incoming:
        await incoming.write(b"of a process that died")
        await incoming.finish()
        await incoming.keep()
    files = FileStorage(store.files, home.blobs, clock)
    assert await store.files.known(await names(home)) == set()
    await show(store, "a", picture("b"))
    await files.sweep()
    assert await blobs(home) == 2, f"what is younger than {ORPHAN_SECONDS} s may still get a row"
    assert len(await store.files.known(await names(home))) == 1


async def test_one_that_goes_while_it_comes_again_is_there(store: Store, other: Store) -> None:
    for turns in range(20):
        name = f"{turns}"
        await show(store, name, picture(name))
        gone = asyncio.create_task(other.responses.delete(P, name))
        mine = asyncio.create_task(store.responses.delete(P, name))
        await asyncio.gather(show(store, f"{name}.again", picture(f"{name}.again")), gone, mine)
        await cleared(store)

        assert await other.items.get(P, f"{name}.again") == picture(f"{name}.again").json
        await store.responses.delete(P, f"{name}.again")


async def test_those_of_several_that_come_at_once_are_one(store: Store, other: Store) -> None:
    await asyncio.gather(*(show(each, f"{n}", picture(f"{n}")) for n, each in enumerate([store, other] * 5)))
    for n in range(10):
        assert await store.items.get(P, f"{n}") == picture(f"{n}").json
    assert (await counts(store, "inline_data"))["inline_data"] == 1


async def test_the_last_that_go_at_once_take_it_along(store: Store, other: Store, home: Home) -> None:
    for color in range(5):
        names = [f"{color}.{n}" for n in range(8)]
        for name in names:
            await show(store, name, picture(name, color))
        await asyncio.gather(*(each.responses.delete(P, n) for n in names for each in (store, other)))
    await cleared(store)
    assert await blobs(home) == 0
    assert (await counts(store, "inline_data"))["inline_data"] == 0


# ---- background runs --------------------------------------------------------------------------------


async def run(store: Store, name: str, streamed: bool = True, after: str | None = None) -> Claim:
    row = turn(name, after, asks=[picture(f"{name}.in", 1)], says=())
    claim = await store.runs.accept(P, AcceptedRun(row, b"sealed", [b"0"], streamed), 10, "me", LEASE)
    assert claim is not None
    return claim


async def end(
    store: Store, claim: Claim, *output: ItemRow, first: int, last: Sequence[bytes] = (b"end",)
) -> None:
    await store.runs.finish(claim, RunEnd(Record(first, last, b""), b"{}", output))


async def test_a_log_has_pictures_beside_it_as_long_as_it_is_there(store: Store, home: Home) -> None:
    claim = await run(store, "a")
    await store.runs.record(claim, Record(1, [b"1", event(2)], b""))
    await store.runs.record(claim, Record(1, [b"1", event(2), event(3)], b""))

    assert await largest(store) < 200
    assert await store.runs.log(claim) == [b"0", b"1", event(2), event(3)]
    assert (await store.runs.context(claim)).input == [picture("a.in", 1).json]
    await end(store, claim, picture("out", 2), first=4)
    assert await blobs(home) == 3

    found = await store.runs.events_after(P, "a", 1)
    assert found is not None
    assert found.events == [event(2), event(3), b"end"]
    assert await store.runs.expire(2e9, 10) == 1
    await cleared(store)
    assert await blobs(home) == 2, "the last partial one was in the log alone"
    assert await store.responses.history(P, "a") == [picture("a.in", 1).json, picture("out", 2).json]
    await store.responses.delete(P, "a")
    await cleared(store)
    assert await blobs(home) == 0


async def test_a_log_that_nobody_may_read_goes_at_the_end_with_its_pictures(store: Store, home: Home) -> None:
    await show(store, "first", picture("first.out", 5))
    claim = await run(store, "a", streamed=False, after="first")
    await store.runs.record(claim, Record(1, [event(2)], b""))
    await store.responses.delete(P, "first")
    await end(store, claim, picture("out", 3), first=2, last=[event(3)])
    await cleared(store)

    whole = [picture("first.out", 5), picture("a.in", 1), picture("out", 3)]
    assert await store.responses.history(P, "a") == [row.json for row in whole]
    assert await blobs(home) == 3


async def test_a_run_that_is_deleted_leaves_nothing(store: Store, home: Home) -> None:
    claim = await run(store, "a")
    await store.runs.record(claim, Record(1, [event(2)], b""))
    await store.responses.delete(P, "a")
    with pytest.raises(LostRun):
        await store.runs.record(claim, Record(2, [event(3)], b""))
    await cleared(store)
    assert (await counts(store, "inline_data"))["inline_data"] == 0
    assert await store.files.known(await names(home)) == set()


# ---- what it counts ---------------------------------------------------------------------------------


async def test_pictures_count_once_and_until_they_go(store: Store) -> None:
    await store.usage.bound(10**6)
    await show(store, "a", picture("one"))
    first = await store.usage.stored(P)
    await show(store, "b", picture("two"))
    second = await store.usage.stored(P)
    assert first is not None
    assert second is not None
    assert SIZE < first < SIZE + 500
    assert second - first < 500
    await store.responses.delete(P, "a")
    await store.responses.delete(P, "b")
    assert await store.usage.stored(P) == 0
