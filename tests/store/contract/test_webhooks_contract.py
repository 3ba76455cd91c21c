"""Deliveries of webhooks in the store."""

import pytest
from msgspec.structs import replace
from tests.store.contract.kit import turn

from antiphon.store import responses, webhooks
from antiphon.store.errors import AlreadyExists, UnknownCursor
from antiphon.store.paging import PageQuery
from antiphon.store.statements import Steps
from antiphon.store.store import Store
from antiphon.store.webhooks import Deliveries, Delivery, Outcome

DELIVERY = Delivery(
    id="wh_1",
    event_id="evt_1",
    project="p",
    endpoint="hook",
    type="response.completed",
    response_id="resp_1",
    created_at=1000,
    body=b"{}",
)


@pytest.fixture
def deliveries(store: Store) -> Deliveries:
    return store.webhooks


async def test_an_event_is_there_exactly_when_what_it_is_about_is(store: Store) -> None:
    def save(name: str, *deliveries: str) -> Steps[None]:
        yield from webhooks.enqueue([replace(DELIVERY, id=delivery) for delivery in deliveries])
        yield from responses.save("p", turn(name))

    await store.responses.save("p", turn("r"))
    with pytest.raises(AlreadyExists):
        await store.write(save, "r", "wh_1")
    assert await store.webhooks.due("hook") is None

    await store.write(save, "s", "wh_1", "wh_2")
    await store.write(save, "t")

    assert await store.webhooks.due("hook") == 1000
    assert [each.id for each in await store.webhooks.latest(10)] == ["wh_2", "wh_1"]


async def test_what_is_taken_is_nobody_elses_until_its_lease_ends(deliveries: Deliveries) -> None:
    await deliveries.add([replace(DELIVERY, id=f"wh_{n}") for n in range(3)])

    assert await deliveries.take("hook", 999, 60, 10) == []
    assert await deliveries.take("other", 1000, 60, 10) == []
    first = await deliveries.take("hook", 1000, 60, 2)
    rest = await deliveries.take("hook", 1000, 60, 2)

    assert {each.delivery.id for each in first} == {"wh_0", "wh_1"}
    assert [(each.delivery, each.attempt) for each in rest] == [(replace(DELIVERY, id="wh_2"), 1)]
    assert await deliveries.take("hook", 1059, 60, 10) == []
    assert {each.attempt for each in await deliveries.take("hook", 1060, 60, 10)} == {2}


async def test_an_outcome_that_comes_after_the_lease_is_ignored(deliveries: Deliveries) -> None:
    await deliveries.add([DELIVERY])
    (late,) = await deliveries.take("hook", 1000, 60, 1)
    (taken,) = await deliveries.take("hook", 1060, 60, 1)

    assert not await deliveries.settle(late, Outcome("failed", 1061, 500, "late"))
    assert await deliveries.settle(taken, Outcome("delivered", 1062, 204))
    assert not await deliveries.settle(taken, Outcome("pending", 1063))

    found = await deliveries.get("wh_1")
    assert found is not None
    assert (found.status, found.ended_at, found.http_status) == ("delivered", 1062, 204)
    assert await deliveries.due("hook") is None


async def test_old_deliveries_go_a_few_at_a_time_the_oldest_first(deliveries: Deliveries) -> None:
    for created_at in (1003, 1001, 1002, 1004):
        await deliveries.add([replace(DELIVERY, id=f"wh_{created_at}", created_at=created_at)])

    assert await deliveries.expire(1004, 2) == 2
    assert [each.id for each in await deliveries.latest(10)] == ["wh_1004", "wh_1003"]
    assert await deliveries.expire(1004, 2) == 1
    assert await deliveries.expire(1004, 2) == 0


async def test_deliveries_of_a_project_are_listed_by_status(deliveries: Deliveries) -> None:
    await deliveries.add([replace(DELIVERY, id=f"wh_{n}") for n in range(4)])
    await deliveries.add([replace(DELIVERY, id="wh_other", project="q")])
    for taken, status in zip(
        await deliveries.take("hook", 1000, 60, 2), ("delivered", "failed"), strict=True
    ):
        await deliveries.settle(taken, Outcome(status, 1001))  # type: ignore[arg-type]

    async def listed(**query: object) -> list[str]:
        status = query.pop("status", None)
        page = await deliveries.page("p", PageQuery(**query), status)  # type: ignore[arg-type]
        return [row.id for row in page.rows]

    assert await listed(limit=3) == ["wh_3", "wh_2", "wh_1"]
    assert await listed(limit=3, after="wh_1") == ["wh_0"]
    assert sorted([*await listed(status="delivered"), *await listed(status="failed")]) == ["wh_0", "wh_1"]
    assert await listed(status="pending", after="wh_3") == ["wh_2"]
    assert (await deliveries.page("p", PageQuery(limit=4))).more is False
    assert (await deliveries.page("p", PageQuery(limit=3))).more is True
    with pytest.raises(UnknownCursor):
        await listed(after="wh_other")
