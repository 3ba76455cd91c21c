"""What one process lets in of a key, by what it has drawn from the store."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.store.contract.kit import Clock

from antiphon.keys.limiter import Limiter
from antiphon.keys.meter import Admission, Meter
from antiphon.keys.purse import HELD_SECONDS
from antiphon.protocol.errors import QuotaExceeded, RateLimited, RequestsExceeded, TokensExceeded
from antiphon.store.allowances import Allowance, Draw, Kind
from antiphon.store.keys import KeyLimits, KeyUse
from antiphon.store.sqlite.database import open_sqlite
from antiphon.store.store import Store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    store = await open_sqlite(tmp_path / "antiphon.db", clock=clock)
    yield store
    await store.close()


def key(**limits: Any) -> KeyUse:
    return KeyUse(name="one", digest="d", limits=KeyLimits(**limits))


def meter(store: Store, owner: str = "a", **limits: Any) -> Meter:
    """Of the process `owner`."""
    found = Limiter(store, owner).meter(key(**limits))
    assert found is not None
    return found


async def used(store: Store, kind: Kind = "requests") -> int:
    """What counts as used, by all processes, with what was settled before."""
    allowance = Allowance(kind, 1, "month" if kind == "budget" else "minute")
    for _ in range(2):  # what is written later is written with the first
        (found,) = await store.allowances.draw("d", [Draw(allowance, 0, 0)])
    return allowance.used(found.slots, store.allowances.now)


async def test_what_was_taken_for_who_has_gone_away_is_given_back(store: Store) -> None:
    limits = {"requests_per_minute": 10, "concurrency": 1}
    gone = meter(store, "a", **limits)
    asking = asyncio.ensure_future(gone.admit(0, 1))
    await asyncio.sleep(0)  # the store is asked, and has not answered
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await used(store) == 0  # behind what was asked before
    await gone.places.close()

    (await meter(store, "b", **limits).admit(0, 1)).end()


async def until_refused(meters: Sequence[Meter]) -> list[Admission]:
    """What is let in before all refuse."""
    found, open_meters = [], list(meters)
    while open_meters:
        for each in list(open_meters):
            try:
                found.append(await each.admit(0, 1))
            except RateLimited:
                open_meters.remove(each)
    return found


# ---- requests ---------------------------------------------------------------------------------------


async def test_of_a_high_limit_few_requests_are_a_transaction(store: Store) -> None:
    own = meter(store, requests_per_minute=1000)
    seen = []
    for _ in range(41):
        await own.admit(0, 1)
        seen.append(await used(store))

    assert seen == [20] * 20 + [40] * 20 + [60]


@pytest.mark.parametrize("most", [1, 7, 100, 1000])
async def test_processes_together_let_in_as_many_as_the_limit_says(store: Store, most: int) -> None:
    meters = [meter(store, owner, requests_per_minute=most) for owner in "abcd"]

    assert len(await until_refused(meters)) == most


async def test_what_is_held_and_not_used_goes_back_after_seconds(store: Store, clock: Clock) -> None:
    own = meter(store, requests_per_minute=1000)
    await own.admit(0, 1)
    own.give_back_stale()
    soon = await used(store)
    clock.now += HELD_SECONDS + 1
    own.give_back_stale()

    assert (soon, await used(store)) == (20, 1)


async def test_a_refusal_says_when_there_is_one_again(store: Store, clock: Clock) -> None:
    own = meter(store, requests_per_minute=2)
    await own.admit(0, 1)
    clock.now += 20
    await own.admit(0, 1)
    with pytest.raises(
        RequestsExceeded, match=r"Limit 2, Used 2, Requested 1\. Please try again in 41s"
    ) as no:
        await own.admit(0, 1)
    clock.now += 41

    await own.admit(0, 1)
    assert no.value.headers == [(b"retry-after", b"41")]
    with pytest.raises(RequestsExceeded):
        await own.admit(0, 1)


async def test_new_limits_hold_with_what_was_used_under_the_old_ones(store: Store) -> None:
    own = meter(store, requests_per_minute=1000)
    for _ in range(5):
        await own.admit(0, 1)
    own.limit(key(requests_per_minute=6))
    await used(store)

    assert len(await until_refused([own])) == 1


# ---- tokens -----------------------------------------------------------------------------------------


async def test_what_is_reserved_follows_what_answers_take(store: Store) -> None:
    own = meter(store, tokens_per_minute=1_000_000)

    async def reserved(took: int) -> int:
        admission = await own.admit(400, None)
        admission.settle(took)
        admission.end()
        return admission.use.reserved

    first = await reserved(300)
    for _ in range(50):
        await reserved(300)
    small = await reserved(9100)
    large = await reserved(300)

    assert first == 2048 + 100
    assert 300 <= small < 320
    assert large > 4500, "it is followed up at once"
    assert await reserved(300) > 4000, "and down slowly"


async def test_no_more_is_reserved_than_the_answer_may_have(store: Store) -> None:
    admission = await meter(store, tokens_per_minute=1_000_000).admit(400, 16)

    assert admission.use.reserved == 116


async def test_what_was_reserved_and_not_used_counts_no_more(store: Store) -> None:
    own = meter(store, tokens_per_minute=100_000)
    admissions = [await own.admit(0, None) for _ in range(10)]
    reserved = await used(store, "tokens")
    for admission in admissions:
        admission.settle(50)
        admission.end()
    own.give_back()

    assert reserved >= 20_480
    assert await used(store, "tokens") == 500


async def test_what_a_long_answer_leaves_is_not_taken_from_what_others_use_meanwhile(
    store: Store, clock: Clock
) -> None:
    own = meter(store, tokens_per_minute=10_000)
    first = await own.admit(0, None)
    clock.now += 45
    second = await own.admit(0, 900)
    second.settle(900)
    first.settle(10)
    own.give_back()
    at_once = await used(store, "tokens")
    clock.now += 20

    assert at_once == 910
    assert await used(store, "tokens") == 900


async def test_what_was_reserved_longer_ago_than_a_minute_does_not_come_back(
    store: Store, clock: Clock
) -> None:
    own = meter(store, tokens_per_minute=10_000)
    first = await own.admit(0, None)
    clock.now += 90
    second = await own.admit(0, 900)
    second.settle(900)
    first.settle(10)
    own.give_back()

    assert await used(store, "tokens") == 900


async def test_what_was_used_and_not_reserved_counts_too(store: Store) -> None:
    own = meter(store, tokens_per_minute=1000)
    admission = await own.admit(0, 10)
    admission.settle(950)
    admission.end()

    assert await used(store, "tokens") == 950
    with pytest.raises(TokensExceeded):
        await own.admit(400, 16)


async def test_what_is_more_than_the_limit_needs_all_of_it(store: Store) -> None:
    own = meter(store, tokens_per_minute=100)
    first = await own.admit(4000, 1)
    with pytest.raises(TokensExceeded):
        await own.admit(4000, 1)
    first.end()
    await used(store, "tokens")
    own.limit(key(tokens_per_minute=101))

    await own.admit(4000, 1)


async def test_a_budget_is_refused_before_a_minute_and_an_answer_may_be_longer_than_expected(
    store: Store,
) -> None:
    own = meter(store, token_budget=100, requests_per_minute=2)
    for took in (70, 60):
        admission = await own.admit(0, 16)
        admission.settle(took)
        admission.end()

    with pytest.raises(QuotaExceeded, match="100 tokens a month"):
        await own.admit(0, 16)
    assert await used(store, "budget") == 130
    assert await used(store) == 2, "who has no budget left uses up no requests"


# ---- at once ----------------------------------------------------------------------------------------


async def test_places_are_those_of_all_processes_and_are_found_again(store: Store) -> None:
    one, two = (meter(store, owner, concurrency=2) for owner in "ab")
    first, _ = await one.admit(0, 1), await two.admit(0, 1)
    with pytest.raises(RequestsExceeded, match="Limit 2"):
        await two.admit(0, 1)
    first.end()

    await two.admit(0, 1)
    with pytest.raises(RequestsExceeded):
        await one.admit(0, 1)


async def test_a_place_that_was_left_is_used_again_without_asking_the_store(store: Store) -> None:
    own = meter(store, concurrency=1)
    (await own.admit(0, 1)).end()
    await store.key_places.give_back("d", "a", 1)
    assert await store.key_places.take("d", "other", 1), "the store has no place left to give"

    await own.admit(0, 1)


async def test_who_goes_away_while_he_waits_leaves_nothing_behind(store: Store) -> None:
    own = meter(store, concurrency=1, requests_per_minute=10)
    first = await own.admit(0, 1)
    waiting = asyncio.create_task(own.admit(0, 1))
    await asyncio.wait([waiting], timeout=0.01)
    waiting.cancel()
    first.end()

    (await own.admit(0, 1)).end()
    assert own.places.used == 0
    assert await used(store) == 2
