"""What is looked at is read without its pictures, which can be had by their links."""

import base64
import hashlib
import random

import msgspec
from tests.store.contract.kit import P, begin, item, items, talk, texts, turn

from antiphon.store.items import ItemRow
from antiphon.store.paging import Page, PageQuery
from antiphon.store.run_log import Record, RunEnd
from antiphon.store.runs import AcceptedRun
from antiphon.store.store import Store

PICTURE = random.Random(7).randbytes(6000)
LINK = f"inline:{hashlib.sha256(PICTURE).hexdigest()}"


def picture(item_id: str) -> ItemRow:
    data = base64.b64encode(PICTURE).decode()
    return ItemRow(item_id, msgspec.json.encode({"id": item_id, "url": f"data:image/png;base64,{data}"}))


def linked(item_id: str) -> bytes:
    return msgspec.json.encode({"id": item_id, "url": f"data:image/png;base64,{LINK}"})


async def accept(store: Store, *, streamed: bool) -> None:
    run = AcceptedRun(turn("r", says=()), b"", [b"0", b"1"], streamed)
    await store.runs.accept(P, run, 9)


async def end(store: Store) -> None:
    claim = await store.runs.claim("me", 60)
    assert claim is not None
    await store.runs.finish(claim, RunEnd(Record(2, [b"2"], b""), b"{}", items("r.out")))


async def test_items_have_links_in_place_of_their_pictures(store: Store) -> None:
    await store.responses.save(P, turn("a", asks=[picture("i"), item("j")], says=[picture("o")]))
    await store.responses.save(P, turn("b", "a"))

    found, read = await store.outline.response(P, "a"), await store.outline.input_items(P, "b", 2)
    assert found is not None
    assert read is not None
    assert found.output == [linked("o")]
    assert [row.json for row in read.rows] == [*texts("b.in"), linked("o")]
    assert read.more
    assert await store.outline.own_input(P, "a") == [linked("i"), item("j").json]
    assert await store.outline.response("other", "a") is None
    assert await store.outline.input_items("other", "a", 9) is None


async def test_items_of_conversations_have_links_too(store: Store) -> None:
    await begin(store, "c")
    await store.conversations.add_items(P, "c", [picture("i"), item("j")])

    newest = await store.outline.conversation_items(P, "c", PageQuery(limit=1))
    rest = await store.outline.conversation_items(P, "c", PageQuery(after="j"))
    assert newest == Page([item("j")], more=True)
    assert rest == Page([ItemRow("i", linked("i"))], more=False)
    assert await store.outline.conversation_items("other", "c", PageQuery()) is None


async def test_a_link_leads_to_its_data_and_to_that_of_no_other_project(store: Store) -> None:
    await store.responses.save(P, turn("a", asks=[picture("i")]))
    sha256 = LINK.removeprefix("inline:")

    assert await store.outline.data(P, sha256) == PICTURE
    assert await store.outline.data(P, "0" * 64) is None
    assert await store.outline.data("other", sha256) is None
    whole = picture("i").json
    assert await store.outline.whole(P, linked("i"), len(whole) + 100) == whole
    assert await store.outline.whole(P, linked("i") * 3, 3 * len(whole) + 300) == whole * 3
    assert await store.outline.whole(P, linked("i") * 3, 2 * len(whole)) is None
    assert await store.outline.whole("other", linked("i"), 500) == linked("i").replace(LINK.encode(), b"")


async def test_what_continues_a_response_is_found(store: Store) -> None:
    await talk(store, "a", "b", "c")
    await store.responses.save(P, turn("fork", "a"))
    await begin(store, "talk")
    for name in ("x", "y"):
        await store.responses.save(P, turn(name, conversation="talk"))

    found = {name: await store.outline.following(P, name) for name in ("a", "b", "c", "fork", "x", "y")}
    assert found == {"a": ["b", "fork"], "b": ["c"], "c": [], "fork": [], "x": ["y"], "y": []}
    assert await store.outline.following("other", "a") == []


async def test_the_log_of_a_run_is_seen_until_it_is_gone(store: Store) -> None:
    await accept(store, streamed=False)
    found = await store.outline.progress(P, "r", 0)
    assert found is not None
    assert (found.events, found.ended) == ([b"1"], False)
    assert await store.runs.events_after(P, "r", 0) is None
    assert await store.outline.progress("other", "r", 0) is None

    await end(store)

    assert await store.outline.progress(P, "r", 0) is None


async def test_a_log_that_is_kept_is_seen_after_its_end(store: Store) -> None:
    await accept(store, streamed=True)
    await end(store)
    found = await store.outline.progress(P, "r", -1)
    assert found is not None
    assert (found.events, found.ended) == ([b"0", b"1", b"2"], True)
