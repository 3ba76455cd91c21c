"""A response and the beginning of its successor: both are kept, or neither."""

from base64 import b64encode
from collections.abc import Sequence

import pytest
from tests.store.contract.kit import P, counts, item, rows_left, said, talk, texts, turn

from antiphon.store.activity import ActivityRow
from antiphon.store.errors import AlreadyExists
from antiphon.store.items import ItemRow
from antiphon.store.responses import ResponseRow
from antiphon.store.store import Store
from antiphon.store.successions import Succession


def row_of(name: str) -> ActivityRow:
    return ActivityRow(
        project=P, response_id=name, created_at=1, ended_at=2.0, model="m", status="incomplete"
    )


def begun(name: str, after: str, asks: Sequence[ItemRow] | None = None) -> ResponseRow:
    """A response without output."""
    return turn(name, after, asks=asks, says=[])


def ends(row: ResponseRow, successor: ResponseRow | None = None, *, succeeds: bool = False) -> Succession:
    return Succession(row=row, ended=row_of(row.id), begun=succeeds, successor=successor)


async def test_a_response_is_kept_together_with_how_its_successor_begins(store: Store) -> None:
    await talk(store, "r")
    await store.successions.save(P, ends(turn("t", "r"), begun("s", "t")))
    assert await store.responses.history(P, "t") == said("r", "t")
    assert await store.responses.history(P, "s") == [*said("r", "t"), *texts("s.in")]
    assert (await rows_left(store))["activity"] == 1
    assert (await counts(store))["threads"] == 1


async def test_neither_is_kept_where_one_cannot_be(store: Store) -> None:
    await store.responses.save(P, turn("s"))
    before = await counts(store, "activity")
    with pytest.raises(AlreadyExists):
        await store.successions.save(P, ends(turn("t"), begun("s", "t")))
    assert await counts(store, "activity") == before
    assert await store.responses.get(P, "t") is None


async def test_the_end_of_a_successor_takes_the_place_of_its_beginning(store: Store) -> None:
    await store.successions.save(P, ends(turn("t"), begun("s", "t")))
    await store.successions.save(P, ends(turn("s", "t"), begun("next", "s"), succeeds=True))
    await store.successions.save(P, ends(turn("next", "s"), succeeds=True))
    assert await store.responses.history(P, "next") == said("t", "s", "next")
    found = await store.responses.get(P, "s")
    assert found is not None
    assert found.output == texts("s.out")
    assert (await counts(store))["threads"] == 1
    assert (await rows_left(store))["activity"] == 3


async def test_who_continued_the_beginning_meanwhile_keeps_what_he_continued(store: Store) -> None:
    await store.successions.save(P, ends(turn("t"), begun("s", "t")))
    await store.responses.save(P, turn("other", "s"))
    await store.successions.save(P, ends(turn("s", "t"), succeeds=True))
    assert await store.responses.history(P, "other") == [*said("t"), *texts("s.in"), *said("other")]
    assert await store.responses.history(P, "s") == said("t", "s")
    for name in ("other", "t", "s"):
        assert await store.responses.delete(P, name)
    assert {table: rows for table, rows in (await counts(store)).items() if rows} == {}


async def test_a_successor_that_was_deleted_is_not_kept(store: Store) -> None:
    await store.successions.save(P, ends(turn("t"), begun("s", "t")))
    assert await store.responses.delete(P, "s")
    await store.successions.save(P, ends(turn("s", "t"), begun("next", "s"), succeeds=True))
    assert await store.responses.get(P, "s") is None
    assert await store.responses.history(P, "next") == texts("next.in")


async def test_a_successor_outlives_what_it_succeeds(store: Store) -> None:
    await store.successions.save(P, ends(turn("t"), begun("s", "t")))
    assert await store.responses.delete(P, "t")
    await store.successions.save(P, ends(turn("s", "t"), succeeds=True))
    assert await store.responses.history(P, "s") == said("t", "s")
    assert await store.responses.delete(P, "s")
    assert {table: rows for table, rows in (await counts(store)).items() if rows} == {}


async def test_pictures_in_what_was_said_are_there_when_it_has_ended(store: Store) -> None:
    picture = ItemRow("s.in", b'{"id":"s.in","url":"data:image/png;base64,%b"}' % b64encode(bytes(9000)))
    await store.successions.save(P, ends(turn("t"), begun("s", "t", [picture])))
    await store.successions.save(P, ends(turn("s", "t", asks=[picture]), succeeds=True))
    assert await store.responses.history(P, "s") == [*said("t"), picture.json, item("s.out").json]
