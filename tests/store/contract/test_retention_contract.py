"""What is older than it is kept goes, and nothing else does."""

import asyncio

import pytest
from tests.store.contract.kit import Clock, P, begin, item, items, rows_left, spoken, texts

from antiphon.store.paging import PageQuery
from antiphon.store.responses import ResponseRow
from antiphon.store.retention import Retention, retention_rules
from antiphon.store.run_log import Record, RunEnd
from antiphon.store.runs import AcceptedRun
from antiphon.store.store import Store
from antiphon.store.webhooks import Delivery


@pytest.fixture
def retention(store: Store, clock: Clock) -> Retention:
    return Retention(retention_rules(store, 30, 24, 30, 90), clock, pause=0)


async def answer(
    store: Store,
    clock: Clock,
    name: str,
    after: str | None = None,
    conversation: str | None = None,
    project: str = P,
) -> None:
    """A response with the items `name.in` and `name.out`, made now."""
    row = ResponseRow(
        id=name,
        created_at=int(clock.now),
        json=b"{}",
        input=items(f"{name}.in"),
        output=items(f"{name}.out"),
        previous_response_id=after,
        conversation_id=conversation,
    )
    await store.responses.save(project, row)


async def there(store: Store, *names: str) -> list[str]:
    """Those of the responses that are there."""
    return [name for name in names if await store.responses.get(P, name) is not None]


async def test_a_response_is_gone_with_its_items_when_its_days_are_over(
    store: Store, retention: Retention, clock: Clock
) -> None:
    await answer(store, clock, "old")
    await answer(store, clock, "theirs", project="other")
    clock.pass_days(1)
    await answer(store, clock, "new")

    clock.pass_days(29)
    await retention.sweep()
    assert await there(store, "old", "new") == ["old", "new"]

    clock.pass_days(0.5)
    await retention.sweep()
    assert await there(store, "old", "new") == ["new"]
    assert await store.items.get(P, "old.in") is None
    assert await store.responses.get("other", "theirs") is None
    assert await rows_left(store) == {"responses": 1, "links": 2, "items": 2, "threads": 1}


async def test_later_responses_of_a_chain_stay_readable_with_all_that_was_said(
    store: Store, retention: Retention, clock: Clock
) -> None:
    await answer(store, clock, "a")
    await answer(store, clock, "b", after="a")
    clock.pass_days(20)
    await answer(store, clock, "c", after="b")
    await answer(store, clock, "fork", after="a")

    clock.pass_days(11)
    await retention.sweep()

    assert await there(store, "a", "b", "c", "fork") == ["c", "fork"]
    assert await store.responses.history(P, "c") == texts("a.in", "a.out", "b.in", "b.out", "c.in", "c.out")
    assert await store.responses.history(P, "fork") == texts("a.in", "a.out", "fork.in", "fork.out")
    clock.pass_days(20)
    await retention.sweep()
    assert await rows_left(store) == {}


async def test_conversations_do_not_expire_nor_do_their_items(
    store: Store, retention: Retention, clock: Clock
) -> None:
    await begin(store, "conv", "hello")
    await answer(store, clock, "r", conversation="conv")

    clock.pass_days(1000)
    await retention.sweep()

    assert await there(store, "r") == []
    assert await spoken(store, "conv") == texts("hello", "r.in", "r.out")
    page = await store.conversations.items(P, "conv", PageQuery(order="asc"))
    assert page is not None
    assert [row.id for row in page.rows] == ["hello", "r.in", "r.out"]


async def test_what_a_deleted_conversation_left_goes_by_the_age_of_its_end(
    store: Store, retention: Retention, clock: Clock
) -> None:
    await begin(store, "conv", "hello")
    clock.pass_days(100)
    await store.conversations.delete(P, "conv")

    clock.pass_days(29)
    await retention.sweep()
    assert await store.items.get(P, "hello") == item("hello").json

    clock.pass_days(2)
    await retention.sweep()
    assert await store.items.get(P, "hello") is None
    assert await rows_left(store) == {}


async def test_a_response_keeps_what_its_deleted_conversation_left(
    store: Store, retention: Retention, clock: Clock
) -> None:
    await begin(store, "conv", "hello")
    await answer(store, clock, "early", conversation="conv")
    await store.conversations.add_items(P, "conv", items("aside"))
    clock.pass_days(1)
    await store.conversations.delete(P, "conv")
    clock.pass_days(20)
    await answer(store, clock, "late", conversation="conv")
    await answer(store, clock, "chained", after="early")

    clock.pass_days(11)
    await retention.sweep()

    said = ("hello", "early.in", "early.out")
    assert await store.responses.history(P, "late") == texts(*said, "aside", "late.in", "late.out")
    assert await store.responses.history(P, "chained") == texts(*said, "chained.in", "chained.out")
    await store.responses.delete(P, "late")
    assert await store.items.get(P, "aside") is None
    assert await store.responses.history(P, "chained") == texts(*said, "chained.in", "chained.out")
    clock.pass_days(20)
    await retention.sweep()
    assert await rows_left(store) == {}


async def test_the_log_of_webhooks_goes_by_its_own_age(store: Store, clock: Clock) -> None:
    delivery = Delivery(
        id="wh_1",
        event_id="evt_1",
        project=P,
        endpoint="hook",
        type="response.completed",
        response_id="r",
        created_at=int(clock.now),
        body=b"{}",
    )
    await store.webhooks.add([delivery])
    await answer(store, clock, "r")

    clock.pass_days(8)
    await Retention(retention_rules(store, 30, 24, 7, 90), clock).sweep()

    assert await store.webhooks.get("wh_1") is None
    assert await there(store, "r") == ["r"]


async def test_with_no_days_everything_is_kept_for_ever(store: Store, clock: Clock) -> None:
    await answer(store, clock, "r")
    await begin(store, "conv", "hello")
    await store.conversations.delete(P, "conv")

    clock.pass_days(10_000)
    await Retention(retention_rules(store, 0, 0, 0, 0), clock).sweep()

    assert await there(store, "r") == ["r"]
    assert await store.items.get(P, "hello") is not None


async def test_the_oldest_go_first_and_no_more_than_were_asked_for(store: Store, clock: Clock) -> None:
    names = [f"r{n}" for n in range(5)]
    for name in names:
        await answer(store, clock, name)
        clock.pass_days(1)

    assert await store.responses.expire(clock.now, 2) == 2
    assert await there(store, *names) == ["r2", "r3", "r4"]
    assert await store.responses.expire(clock.now, 10) == 3
    assert await store.responses.expire(clock.now, 10) == 0


async def test_two_processes_that_sweep_at_once_share_the_work(
    store: Store, other: Store, clock: Clock
) -> None:
    await asyncio.gather(*(answer(store, clock, f"r{n}") for n in range(400)))
    clock.pass_days(31)

    await asyncio.gather(
        *(Retention(retention_rules(each, 30, 24, 30, 90), clock, pause=0).sweep() for each in (store, other))
    )

    assert await rows_left(store) == {}


async def test_others_write_between_the_batches_of_a_sweep(store: Store, clock: Clock) -> None:
    await asyncio.gather(*(answer(store, clock, f"r{n}") for n in range(200)))
    clock.pass_days(31)
    sweeping = asyncio.create_task(Retention(retention_rules(store, 30, 24, 30, 90), clock, pause=60).sweep())

    await answer(store, clock, "new")

    assert not sweeping.done()
    assert await there(store, "new") == ["new"]
    sweeping.cancel()
    await asyncio.wait([sweeping])


async def test_the_log_of_a_run_goes_before_its_response_and_a_run_that_lasts_stays(
    store: Store, clock: Clock, retention: Retention
) -> None:
    for name in ("short", "long"):
        row = ResponseRow(name, int(clock()), b"{}", items(f"{name}.in"), ())
        await store.runs.accept(P, AcceptedRun(row, b"", [b"0"], streamed=True), queue=9)
    claim = await store.runs.claim("me", 5)
    assert claim is not None
    await store.runs.finish(claim, RunEnd(Record(1, [b"1"], b""), b"{}", items("short.out")))
    clock.pass_days(1.1)
    await retention.sweep()
    assert await store.runs.events_after(P, "short", -1) is None
    assert await store.responses.get(P, "short") is not None
    clock.pass_days(30)
    await retention.sweep()
    assert await store.responses.get(P, "short") is None
    assert await store.responses.get(P, "long") is not None
    assert await store.runs.events_after(P, "long", -1) is not None
