"""Keys in the store, and what is used of their limits."""

import asyncio
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from antiphon.store.allowances import Allowance, Draw, Settled, begun
from antiphon.store.errors import AlreadyExists
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
MINUTE = Allowance("requests", 60, rate=1.0)


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

    took = max(each[0].at for each in drawn) - min(each[0].at for each in drawn)
    assert 60 <= sum(each[0].given for each in drawn) <= 60 + took + 1e-6


async def test_what_is_given_back_can_be_drawn_again_and_a_debt_is_waited_for(store: Store) -> None:
    slow = Allowance("tokens", 100, rate=1e-9)
    await store.allowances.draw("d", [Draw(slow, 100, 1)])
    store.allowances.settle(Settled("d", slow, -40))
    await store.keys.add(ROW)  # what is written later is written with it

    ((first),) = await store.allowances.draw("d", [Draw(slow, 30, 1)])
    store.allowances.settle(Settled("d", slow, 200))
    await store.keys.revoke(None, "key_1", 1)
    ((second),) = await store.allowances.draw("d", [Draw(slow, 1, 1)])

    assert first.given == 30
    assert second.given == 0
    assert second.used == pytest.approx(290, abs=0.1)


async def test_of_a_budget_the_rest_is_given_to_who_needs_more(store: Store) -> None:
    budget = Allowance("budget", 100, window="day")
    await store.allowances.draw("d", [Draw(budget, 90, 1)])

    ((rest),) = await store.allowances.draw("d", [Draw(budget, 50, 1)])
    ((none),) = await store.allowances.draw("d", [Draw(budget, 1, 1)])

    assert (rest.given, none.given) == (10, 0)


def test_a_budget_is_whole_again_when_its_day_or_month_begins() -> None:
    noon = datetime(2026, 3, 5, 12, tzinfo=UTC).timestamp()
    day, month = Allowance("budget", 9, window="day"), Allowance("budget", 9, window="month")

    assert day.used(5, noon, noon + 11 * 3600) == 5
    assert day.used(5, noon, noon + 12 * 3600) == 0
    assert month.used(5, noon, noon + 26 * 86400) == 5
    assert month.used(5, noon, noon + 27 * 86400) == 0
    assert begun("month", noon) == datetime(2026, 3, 1, tzinfo=UTC).timestamp()


async def test_slots_are_counted_over_all_processes_and_lapse_with_them(store: Store) -> None:
    slots = store.allowances
    held = await asyncio.gather(*(slots.hold("d", owner, 3) for owner in "ababab"))
    assert sum(held) == 3

    await slots.free("d", "a" if held[0] else "b")

    assert await slots.hold("d", "c", 3)
    assert not await slots.hold("d", "c", 3)
    assert await slots.hold("other", "c", 3)
