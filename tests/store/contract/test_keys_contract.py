"""Keys in the store, and what is used of their limits."""

import asyncio
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from tests.store.contract.kit import Clock

from antiphon.store.allowances import Allowance, Draw, Settled
from antiphon.store.errors import AlreadyExists
from antiphon.store.key_places import LEASE
from antiphon.store.keys import KeyLimits, KeyRow
from antiphon.store.store import Store

LIMITS = KeyLimits(models=("gpt-*",), requests_per_minute=60, token_budget=1000, budget_window="day")
ROW = KeyRow(
    id="key_1",
    project="p",
    name="one",
    digest="sha256:1",
    hint="sk-…1",
    admin=False,
    limits=LIMITS,
    created_at=1000,
)
MINUTE = Allowance("requests", 60)


async def test_a_key_is_found_by_its_digest_as_it_was_added(store: Store) -> None:
    await store.keys.add(ROW)

    assert await store.keys.find("sha256:1") == ROW
    assert await store.keys.find("sha256:2") is None


async def test_a_project_sees_and_changes_its_own_keys_alone(store: Store) -> None:
    await store.keys.add(ROW)
    await store.keys.add(replace(ROW, id="key_2", project="q", digest="sha256:2"))

    assert [row.id for row in await store.keys.newest("p")] == ["key_1"]
    assert [row.id for row in await store.keys.newest(None)] == ["key_2", "key_1"]
    assert await store.keys.get("p", "key_2") is None
    assert not await store.keys.revoke("p", "key_2", 2000)
    assert not await store.keys.limit("p", "key_2", KeyLimits(), None)
    assert await store.keys.find("sha256:2") == replace(ROW, id="key_2", project="q", digest="sha256:2")


async def test_a_name_is_taken_until_its_key_is_revoked(store: Store) -> None:
    await store.keys.add(ROW)
    again = replace(ROW, id="key_2", digest="sha256:2")
    with pytest.raises(AlreadyExists):
        await store.keys.add(again)

    assert await store.keys.revoke("p", "key_1", 2000)
    await store.keys.add(again)

    assert not await store.keys.revoke("p", "key_1", 3000)
    revoked = await store.keys.get(None, "key_1")
    assert revoked is not None
    assert revoked.revoked_at == 2000


async def test_limits_and_expiry_are_changed_together(store: Store) -> None:
    await store.keys.add(ROW)

    assert await store.keys.limit(None, "key_1", KeyLimits(concurrency=3), 9000)

    assert await store.keys.find("sha256:1") == replace(ROW, limits=KeyLimits(concurrency=3), expires_at=9000)


async def test_no_more_is_drawn_than_there_is_however_many_draw_at_once(store: Store) -> None:
    one = [Draw(MINUTE, needed=1, portion=7)]

    drawn = await asyncio.gather(*(store.allowances.draw("d", one) for _ in range(100)))

    assert sum(each[0].given for each in drawn) == 60
    assert MINUTE.used(drawn[-1][0].slots, store.allowances.now) == 60


async def test_what_is_drawn_of_one_key_or_kind_is_nothing_to_another(store: Store) -> None:
    tokens = Allowance("tokens", 60)
    await store.allowances.draw("d", [Draw(MINUTE, 60, 1)])

    ((first,), (second,)) = [
        await store.allowances.draw("d", [Draw(tokens, 60, 1)]),
        await store.allowances.draw("e", [Draw(MINUTE, 60, 1)]),
    ]

    assert (first.given, second.given) == (60, 60)


async def test_what_is_given_back_can_be_drawn_again_and_a_debt_counts(store: Store) -> None:
    tokens = Allowance("tokens", 100)
    now = int(store.allowances.now)
    await store.allowances.draw("d", [Draw(tokens, 100, 1)])
    store.allowances.settle(Settled("d", "tokens", now, -40, now + 5))
    await store.keys.add(ROW)  # what is written later is written with it

    (first,) = await store.allowances.draw("d", [Draw(tokens, 30, 1)])
    store.allowances.settle(Settled("d", "tokens", now, 200, now))
    await store.keys.revoke(None, "key_1", 1)
    (second,) = await store.allowances.draw("d", [Draw(tokens, 1, 1)])

    assert first.given == 30
    assert second.given == 0
    assert tokens.used(second.slots, now) == 290


async def test_what_is_given_back_comes_from_where_it_was_drawn_and_never_more_than_that(
    store: Store,
) -> None:
    """So what is given back does not count as less than nothing when that is long ago."""
    tokens = Allowance("tokens", 100)
    now = int(store.allowances.now)
    for slot, used in ((now - 5, 30), (now, 20)):
        store.allowances.settle(Settled("d", "tokens", slot, used, slot))
    store.allowances.settle(Settled("d", "tokens", now, -1000, now - 5))
    await store.keys.add(ROW)

    (drawn,) = await store.allowances.draw("d", [Draw(tokens, 1000, 1)])

    assert drawn.given == 0
    assert drawn.slots == ((now - 5, 0), (now, 20))


async def test_who_needs_more_than_there_is_gets_nothing_and_leaves_it_to_others(store: Store) -> None:
    budget = Allowance("budget", 100, "day")
    await store.allowances.draw("d", [Draw(budget, 90, 1)])

    (none,) = await store.allowances.draw("d", [Draw(budget, 50, 1)])
    (rest,) = await store.allowances.draw("d", [Draw(budget, 10, 1)])

    assert (none.given, rest.given) == (0, 10)


def test_a_portion_is_smaller_the_less_there_is() -> None:
    draw = Draw(Allowance("requests", 1000), needed=1, portion=20)

    assert [draw.given(used) for used in (0, 900, 985, 999, 1000)] == [20, 10, 1, 1, 0]


def test_no_minute_has_more_than_the_limit_wherever_it_begins() -> None:
    slots = ((100, 40), (130, 20))

    assert [MINUTE.used(slots, now) for now in (130.5, 160.9, 161.0, 190.9, 191.0)] == [60, 60, 20, 20, 0]
    assert MINUTE.free_at(slots, 1, 140.0) == 161.0
    assert MINUTE.free_at(slots, 60, 140.0) == 191.0
    assert MINUTE.free_at(slots, 30, 170.0) == 170.0


def test_a_budget_is_whole_again_when_its_day_or_month_begins() -> None:
    noon = datetime(2026, 3, 5, 12, tzinfo=UTC).timestamp()
    day, month = Allowance("budget", 9, "day"), Allowance("budget", 9, "month")
    used = ((day.slot(noon), 9),)

    assert day.slot(noon) == month.slot(noon)
    assert [day.used(used, noon + hours * 3600) for hours in (11.9, 12)] == [9, 0]
    assert day.free_at(used, 1, noon) == noon + 12 * 3600
    assert [month.used(used, noon + days * 86400) for days in (26, 27)] == [9, 0]
    assert month.free_at(used, 1, noon) == datetime(2026, 4, 1, tzinfo=UTC).timestamp()
    assert month.free_at((), 9, noon) == noon


async def test_places_are_counted_over_all_processes_and_lapse_with_them(store: Store, clock: Clock) -> None:
    places = store.key_places
    held = await asyncio.gather(*(places.take("d", owner, 3) for owner in "ababab"))
    assert sum(held) == 3

    await places.give_back("d", "a" if held[0] else "b", 1)

    assert await places.take("d", "c", 3)
    assert not await places.take("d", "c", 3)
    assert await places.take("other", "c", 3)
    clock.now += LEASE - 1
    await places.renew("c")
    clock.now += 2
    assert [await places.take("d", "e", 3) for _ in range(3)] == [True, True, False]
