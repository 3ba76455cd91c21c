"""Webhooks on their way: to a receiver over HTTP, from deliveries in a real file."""

import asyncio
import time
from collections.abc import AsyncIterator, MutableMapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog
from openai import InvalidWebhookSignatureError, OpenAI
from tests.receiver import Answer, Received, Receiver

from antiphon.context.seal import Seal
from antiphon.store.sqlite.database import open_sqlite
from antiphon.store.store import Store
from antiphon.store.webhooks import Delivery, DeliveryRow
from antiphon.webhooks.endpoints import Endpoint, secret_of
from antiphon.webhooks.sender import AT_ONCE, LEASE_SECONDS
from antiphon.webhooks.stored import StoredEndpoints
from antiphon.webhooks.webhooks import Webhooks

KEY = b"k" * 32


class Clock:
    """It starts now, as receivers refuse what is old."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


class Noticing:
    """Notices that something is logged."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._noticed = asyncio.Event()

    def __call__(self, _logger: Any, _method: str, entry: MutableMapping[str, Any]) -> Any:
        if entry["event"] == self._event:
            self._noticed.set()
        return entry

    async def next(self) -> None:
        async with asyncio.timeout(60):
            await self._noticed.wait()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "antiphon.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[Store]:
    store = await open_sqlite(file)
    yield store
    await store.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
def webhooks(store: Store, receiver: Receiver, clock: Clock) -> Webhooks:
    return sending([hook(receiver.url)], store, clock)


def sending(endpoints: Sequence[Endpoint], store: Store, clock: Clock, **patience: Any) -> Webhooks:
    stored = StoredEndpoints(store.webhook_endpoints, Seal(b"s" * 32))
    return Webhooks(endpoints, store.webhooks, clock, stored=stored, **patience)


def hook(url: str, name: str = "hook") -> Endpoint:
    return Endpoint(name, url, KEY)


async def end(webhooks: Webhooks, store: Store, clock: Clock, *responses: str) -> list[Delivery]:
    """Responses that end now."""
    made = [d for name in responses for d in await webhooks.deliveries_for("p", name, "completed", clock())]
    await store.webhooks.add(made)
    webhooks.wake()
    return made


async def row(store: Store, delivery: Delivery) -> DeliveryRow:
    found = await store.webhooks.get(delivery.id)
    assert found is not None
    return found


async def attempt(webhooks: Webhooks, receiver: Receiver) -> Received:
    """One that comes, and is written down: what is under way at the end of the block may finish."""
    async with webhooks.running():
        return await receiver.next()


def unwrapped(received: Received, secret: str = secret_of(KEY)) -> object:
    with OpenAI(api_key="none", base_url="http://127.0.0.1:9") as client:
        return client.webhooks.unwrap(received.body, received.headers, secret=secret).to_dict()


async def test_an_event_arrives_signed_and_is_written_down(
    webhooks: Webhooks, store: Store, receiver: Receiver, clock: Clock
) -> None:
    (delivery,) = await end(webhooks, store, clock, "resp_1")

    received = await attempt(webhooks, receiver)

    assert unwrapped(received) == {
        "id": delivery.event_id,
        "object": "event",
        "created_at": int(clock.now),
        "type": "response.completed",
        "data": {"id": "resp_1"},
    }
    assert received.path == "/hook"
    assert received.headers["webhook-id"] == delivery.id
    assert received.headers["Content-Type"] == "application/json"
    with pytest.raises(InvalidWebhookSignatureError):
        unwrapped(received, secret_of(b"x" * 32))
    assert await row(store, delivery) == DeliveryRow(
        id=delivery.id,
        event_id=delivery.event_id,
        project="p",
        endpoint="hook",
        type="response.completed",
        response_id="resp_1",
        created_at=int(clock.now),
        status="delivered",
        attempts=1,
        next_at=None,
        ended_at=int(clock.now),
        http_status=200,
        error=None,
    )


async def test_what_ends_while_it_runs_is_sent_at_once(
    webhooks: Webhooks, store: Store, receiver: Receiver, clock: Clock
) -> None:
    async with webhooks.running():
        for name in ("resp_1", "resp_2"):
            (delivery,) = await end(webhooks, store, clock, name)
            assert (await receiver.next()).headers["webhook-id"] == delivery.id


async def test_a_failure_is_tried_again_with_the_same_id_and_a_new_time(
    webhooks: Webhooks, store: Store, receiver: Receiver, clock: Clock
) -> None:
    (delivery,) = await end(webhooks, store, clock, "resp_1")
    receiver.answers.append(Answer(500))
    first = await attempt(webhooks, receiver)
    failed = await row(store, delivery)
    assert (failed.status, failed.attempts, failed.http_status) == ("pending", 1, 500)
    assert failed.error == "It answered 500."
    assert failed.next_at == pytest.approx(clock.now + 5, abs=0.5)

    clock.now = failed.next_at
    second = await attempt(webhooks, receiver)

    assert second.headers["webhook-id"] == first.headers["webhook-id"]
    assert second.headers["webhook-timestamp"] == str(int(clock.now))
    assert unwrapped(second) == unwrapped(first)
    done = await row(store, delivery)
    assert (done.status, done.attempts, done.http_status, done.error) == ("delivered", 2, 200, None)


async def test_nothing_is_sent_before_it_is_due(
    webhooks: Webhooks, store: Store, receiver: Receiver, clock: Clock
) -> None:
    await end(webhooks, store, clock, "resp_1")
    receiver.answers.append(Answer(503, {"Retry-After": "600"}))
    await attempt(webhooks, receiver)

    clock.now += 599
    async with webhooks.running():
        (other,) = await end(webhooks, store, clock, "resp_2")
        assert (await receiver.next()).headers["webhook-id"] == other.id

    assert len(receiver.received) == 2
    clock.now += 1
    await attempt(webhooks, receiver)


async def test_a_restart_goes_on_where_the_last_server_stopped(file: Path, clock: Clock) -> None:
    async with Receiver() as down:
        port = down.port
    store = await open_sqlite(file)
    webhooks = sending([hook(f"http://127.0.0.1:{port}/hook")], store, clock)
    failures = Noticing("webhook failed")
    with structlog.testing.capture_logs(processors=[failures]):
        async with webhooks.running():
            (delivery,) = await end(webhooks, store, clock, "resp_1")
            await failures.next()
    failed = await row(store, delivery)
    assert (failed.status, failed.attempts, failed.http_status) == ("pending", 1, None)
    assert failed.error == "It could not be connected to: connection refused."
    await store.close()

    clock.now += 10
    store = await open_sqlite(file)
    async with Receiver(port) as up:
        received = await attempt(sending([hook(up.url)], store, clock), up)
    assert received.headers["webhook-id"] == delivery.id
    assert (await row(store, delivery)).status == "delivered"
    await store.close()


async def test_two_servers_on_one_file_send_each_event_once(
    store: Store, file: Path, receiver: Receiver, clock: Clock
) -> None:
    other = await open_sqlite(file)
    one, two = (sending([hook(receiver.url)], each, clock) for each in (store, other))
    made = await end(one, store, clock, *(f"resp_{n}" for n in range(60)))

    async with one.running(), two.running():
        for _ in made:
            await receiver.next()
            one.wake()
            two.wake()

    assert sorted(each.headers["webhook-id"] for each in receiver.received) == sorted(d.id for d in made)
    assert {(await row(other, delivery)).status for delivery in made} == {"delivered"}
    await other.close()


async def test_what_a_server_that_died_was_sending_is_sent_by_another(
    webhooks: Webhooks, store: Store, receiver: Receiver, clock: Clock
) -> None:
    (delivery,) = await end(webhooks, store, clock, "resp_1")
    (taken,) = await store.webhooks.take("hook", clock.now, LEASE_SECONDS, 1)
    assert await store.webhooks.due("hook") == clock.now + LEASE_SECONDS

    clock.now += LEASE_SECONDS
    received = await attempt(webhooks, receiver)

    assert received.headers["webhook-id"] == delivery.id == taken.delivery.id
    assert (await row(store, delivery)).attempts == 2


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(302, {"Location": "/elsewhere"}), "It answered 302."),
        (Answer(404), "It answered 404."),
        (Answer(429), "It answered 429."),
    ],
)
async def test_only_success_is_a_success_and_redirects_are_not_followed(
    webhooks: Webhooks, store: Store, receiver: Receiver, clock: Clock, answer: Answer, error: str
) -> None:
    (delivery,) = await end(webhooks, store, clock, "resp_1")
    receiver.answers.append(answer)

    await attempt(webhooks, receiver)

    found = await row(store, delivery)
    assert (found.status, found.http_status, found.error) == ("pending", answer.status, error)
    assert [each.path for each in receiver.received] == ["/hook"]


@pytest.mark.parametrize("host", ["a..b", f"{'a' * 64}.example", "[::1", "127.0.0.1:99999"])
async def test_a_url_that_cannot_be_used_is_a_failed_attempt_and_follows_the_schedule(
    store: Store, clock: Clock, host: str
) -> None:
    """Whatever the HTTP client raises for it: a name that cannot be encoded is no error of the client's."""
    webhooks = sending([hook(f"http://user:password@{host}/hook")], store, clock)
    failures = Noticing("webhook failed")
    (delivery,) = await end(webhooks, store, clock, "resp_1")
    with structlog.testing.capture_logs(processors=[failures]) as logs:
        async with webhooks.running():
            await failures.next()

    failed = await row(store, delivery)
    assert (failed.status, failed.attempts, failed.http_status) == ("pending", 1, None)
    assert failed.next_at == pytest.approx(clock.now + 5, abs=0.5)
    assert failed.error is not None
    for secret in ("password", host):
        assert secret not in failed.error
        assert secret not in repr(logs)


async def test_an_endpoint_that_is_gone_is_not_asked_again(
    webhooks: Webhooks, store: Store, receiver: Receiver, clock: Clock
) -> None:
    (delivery,) = await end(webhooks, store, clock, "resp_1")
    receiver.answers.append(Answer(410))

    await attempt(webhooks, receiver)

    found = await row(store, delivery)
    assert (found.status, found.ended_at, found.next_at) == ("failed", int(clock.now), None)
    assert await store.webhooks.due("hook") is None


async def test_after_the_last_attempt_it_is_given_up_until_somebody_asks_for_it(
    store: Store, receiver: Receiver, clock: Clock
) -> None:
    webhooks = sending([hook(receiver.url)], store, clock, delays=[0.0])
    receiver.answers.extend([Answer(500), Answer(500)])
    async with webhooks.running():
        (delivery,) = await end(webhooks, store, clock, "resp_1")
        await receiver.next()
        await receiver.next()
    given_up = await row(store, delivery)
    assert (given_up.status, given_up.attempts, given_up.http_status) == ("failed", 2, 500)

    assert await store.webhooks.again(delivery.id, clock.now)
    await attempt(webhooks, receiver)

    done = await row(store, delivery)
    assert (done.status, done.attempts, done.error) == ("delivered", 1, None)


async def test_an_endpoint_that_does_not_answer_keeps_no_other_waiting(
    store: Store, receiver: Receiver, clock: Clock
) -> None:
    async with Receiver() as stuck:
        stuck.answers.extend([Answer(stuck=True)] * 30)
        endpoints = [hook(stuck.url, "stuck"), hook(receiver.url, "well")]
        webhooks = sending(endpoints, store, clock, seconds=1)
        async with webhooks.running():
            made = await end(webhooks, store, clock, *(f"resp_{n}" for n in range(30)))
            for _ in range(30):
                await receiver.next()
        late = await row(store, next(d for d in made if d.endpoint == "stuck"))
        assert (late.status, late.error) == ("pending", "It did not answer within 1 seconds.")


async def test_a_burst_is_sent_a_few_at_a_time(
    webhooks: Webhooks, store: Store, receiver: Receiver, clock: Clock
) -> None:
    receiver.gate = asyncio.Event()
    async with webhooks.running():
        await end(webhooks, store, clock, *(f"resp_{n}" for n in range(3 * AT_ONCE)))
        for _ in range(AT_ONCE):
            await receiver.next()
        receiver.gate.set()
        for _ in range(2 * AT_ONCE):
            await receiver.next()

    assert receiver.most_at_once == AT_ONCE


async def test_deliveries_for_an_endpoint_that_is_not_configured_wait(
    webhooks: Webhooks, store: Store, receiver: Receiver, clock: Clock
) -> None:
    other = sending([hook(receiver.url, "other")], store, clock)
    (waiting,) = await end(other, store, clock, "resp_1")
    await end(webhooks, store, clock, "resp_2")

    await attempt(webhooks, receiver)

    assert len(receiver.received) == 1
    assert (await row(store, waiting)).attempts == 0


async def test_what_is_logged_of_a_delivery_holds_no_secret(
    store: Store, receiver: Receiver, clock: Clock
) -> None:
    url = receiver.url.replace("http://", "http://user:password@")
    webhooks = sending([hook(url), hook("http://user:password@[::1]:1/", "down")], store, clock)
    receiver.answers.extend([Answer(500), Answer(410)])
    with structlog.testing.capture_logs() as logs:
        made = await end(webhooks, store, clock, "resp_1", "resp_2")
        async with webhooks.running():
            await receiver.next()
            await receiver.next()

    rows = [await row(store, delivery) for delivery in made]
    assert {log["event"] for log in logs} >= {"webhook failed", "webhook given up"}
    for secret in ("password", secret_of(KEY), KEY.decode()):
        assert secret not in repr(logs)
        assert secret not in repr(rows)
        assert secret not in repr(made)


async def test_without_endpoints_nothing_is_sent(store: Store, clock: Clock) -> None:
    webhooks = sending([], store, clock)

    async with webhooks.running():
        assert await webhooks.deliveries_for("p", "resp_1", "completed", clock.now) == []


def names(rows: Sequence[DeliveryRow]) -> list[str]:
    return [each.response_id for each in rows]


async def test_the_log_has_the_newest_first_and_can_be_narrowed(
    webhooks: Webhooks, store: Store, receiver: Receiver, clock: Clock
) -> None:
    receiver.answers.append(Answer(410))
    for name in ("resp_1", "resp_2", "resp_3"):
        await end(webhooks, store, clock, name)
        await attempt(webhooks, receiver)

    assert names(await store.webhooks.latest(10)) == ["resp_3", "resp_2", "resp_1"]
    assert names(await store.webhooks.latest(1)) == ["resp_3"]
    assert names(await store.webhooks.latest(10, "failed")) == ["resp_1"]
    assert await store.webhooks.get("wh_none") is None
    assert not await store.webhooks.again("wh_none", clock.now)
