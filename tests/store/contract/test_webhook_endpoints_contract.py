"""Endpoints of webhooks that clients made, in the store."""

import asyncio

import pytest
from msgspec.structs import replace

from antiphon.store.errors import UnknownCursor
from antiphon.store.paging import Page, PageQuery
from antiphon.store.store import Store
from antiphon.store.webhook_endpoints import (
    MOST,
    EndpointChange,
    EndpointRow,
    SealedSecret,
    WebhookEndpoints,
)
from antiphon.store.webhooks import Delivery

NOW = 1_700_000_000


@pytest.fixture
def endpoints(store: Store) -> WebhookEndpoints:
    return store.webhook_endpoints


def endpoint(endpoint_id: str = "we_1", project: str = "one") -> EndpointRow:
    return EndpointRow(
        project=project,
        id=endpoint_id,
        name="Mine",
        url="https://a.example/hook",
        events=["response.completed"],
        secret=SealedSecret("sealed", "whsec_…abcd"),
        created_at=NOW,
        updated_at=NOW,
    )


def delivery(delivery_id: str, endpoint_id: str) -> Delivery:
    return Delivery(
        id=delivery_id,
        event_id="evt_1",
        project="one",
        endpoint=endpoint_id,
        type="response.completed",
        response_id="resp_1",
        created_at=NOW,
        body=b"{}",
    )


async def test_no_project_sees_or_changes_anothers_endpoints(endpoints: WebhookEndpoints) -> None:
    row = endpoint()
    assert await endpoints.create(row)

    assert await endpoints.get("one", row.id) == row
    assert await endpoints.get("two", row.id) is None
    assert await endpoints.update("two", row.id, EndpointChange(NOW, name="x")) is None
    assert await endpoints.rotate("two", row.id, row.secret, NOW, NOW) is None
    assert await endpoints.delete("two", row.id) is False
    assert await endpoints.page("two", PageQuery()) == Page([], more=False)
    assert await endpoints.of("two") == []
    assert await endpoints.of("one") == [row]
    with pytest.raises(UnknownCursor):
        await endpoints.page("two", PageQuery(after=row.id))


async def test_pages_go_by_creation_in_either_order(endpoints: WebhookEndpoints) -> None:
    rows = [endpoint(f"we_{number}") for number in range(3)]
    for row in rows:
        await endpoints.create(row)

    assert await endpoints.page("one", PageQuery(limit=2)) == Page([rows[2], rows[1]], more=True)
    assert await endpoints.page("one", PageQuery(after="we_1")) == Page([rows[0]], more=False)
    assert await endpoints.page("one", PageQuery(order="asc", after="we_1")) == Page([rows[2]], more=False)


async def test_only_a_change_that_changes_something_has_a_time(endpoints: WebhookEndpoints) -> None:
    row = endpoint()
    await endpoints.create(row)

    same = EndpointChange(NOW + 5, row.name, row.url, row.events)
    assert await endpoints.update("one", row.id, same) == row
    changed = await endpoints.update("one", row.id, EndpointChange(NOW + 9, url="https://b.example"))

    assert changed == replace(row, url="https://b.example", updated_at=NOW + 9)
    assert await endpoints.get("one", row.id) == changed


async def test_a_new_secret_leaves_the_one_before_for_a_while(endpoints: WebhookEndpoints) -> None:
    row = endpoint()
    await endpoints.create(row)
    new = SealedSecret("newer", "whsec_…wxyz")

    rotated = await endpoints.rotate("one", row.id, new, NOW + 1, NOW + 100)

    assert rotated == replace(row, secret=new, old_secret="sealed", old_until=NOW + 100, updated_at=NOW + 1)
    assert await endpoints.get("one", row.id) == rotated


async def test_a_deleted_endpoint_takes_along_what_waits_for_it(
    store: Store, endpoints: WebhookEndpoints
) -> None:
    for name in ("we_1", "we_2"):
        await endpoints.create(endpoint(name))
    await store.webhooks.add([delivery("wh_1", "we_1"), delivery("wh_2", "we_2")])
    assert set(await endpoints.awaited()) == {("one", "we_1"), ("one", "we_2")}

    assert await endpoints.delete("one", "we_1") is True

    assert await endpoints.awaited() == [("one", "we_2")]
    given_up, waiting = await store.webhooks.get("wh_1"), await store.webhooks.get("wh_2")
    assert given_up is not None
    assert waiting is not None
    assert (given_up.status, given_up.error) == ("failed", "Its endpoint was deleted.")
    assert waiting.status == "pending"


async def test_a_project_has_no_more_than_it_may_have(endpoints: WebhookEndpoints) -> None:
    made = await asyncio.gather(*(endpoints.create(endpoint(f"we_{n}")) for n in range(MOST + 5)))

    assert sorted(made) == [False] * 5 + [True] * MOST
    assert await endpoints.create(endpoint("we_other", "two"))
