"""/v1/webhook_endpoints: endpoints that clients make, with the official client."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from openai import BadRequestError, InvalidWebhookSignatureError, OpenAI
from tests.api.asking import Like, Now, refused, some_id, whole
from tests.api.test_background import begin
from tests.conftest import Running, checked_client, config_for
from tests.ledger import covers
from tests.receiver import Answer as Reply
from tests.receiver import Receiver
from tests.scripted import Answer, Upstream

from antiphon.config import Outbound, Server
from antiphon.config.settings import hash_key

URL = "https://hooks.example.com/antiphon"


@pytest.fixture
def private(upstream: Upstream, tmp_path: Path) -> Iterator[Running]:
    """A server whose clients may name addresses of its own network, and plain HTTP."""
    with Running(replace(config_for(upstream, tmp_path), outbound=Outbound(allow_private=True))) as running:
        yield running


@covers(
    "endpoint.POST /webhook_endpoints",
    "endpoint.GET /webhook_endpoints",
    "endpoint.GET /webhook_endpoints/{webhook_endpoint_id}",
    "endpoint.POST /webhook_endpoints/{webhook_endpoint_id}",
    "endpoint.DELETE /webhook_endpoints/{webhook_endpoint_id}",
)
def test_an_endpoint_is_made_listed_changed_and_deleted(client: OpenAI) -> None:
    made = client.webhooks.create(name="Mine", url=URL, event_types=["response.completed"])
    secret = made.signing_secret
    assert whole(made) == {
        "id": some_id("we", 48),
        "object": "webhook_endpoint",
        "name": "Mine",
        "url": URL,
        "event_types": ["response.completed"],
        "created_at": Now(),
        "updated_at": Now(),
        "signing_secret": Like("whsec_[A-Za-z0-9+/=]{44}"),
        "signing_secret_hint": f"whsec_…{secret[-4:]}",
    }
    shown = {name: value for name, value in whole(made).items() if name != "signing_secret"}
    assert whole(client.webhooks.retrieve(made.id)) == shown

    other = client.webhooks.create(name="Other", url=URL, event_types=["response.failed"])
    assert [each.id for each in client.webhooks.list(limit=1).data] == [other.id]
    assert made.id in [each.id for each in client.webhooks.list(after=other.id).data]

    changed = client.webhooks.update(made.id, name="Ours", event_types=["response.failed"] * 2)
    assert (changed.name, changed.url, changed.event_types) == ("Ours", URL, ["response.failed"])

    gone = client.webhooks.delete(made.id)
    assert whole(gone) == {"id": made.id, "object": "webhook_endpoint.deleted", "deleted": True}
    for ask in (client.webhooks.retrieve, client.webhooks.delete, client.webhooks.rotate_secret):
        with refused(404, param="webhook_endpoint_id"):
            ask(made.id)
    client.webhooks.delete(other.id)


@covers("endpoint.GET /webhook_event_types")
def test_the_types_of_events_are_those_that_are_sent(client: OpenAI) -> None:
    assert whole(client.webhooks.event_types.list()) == {
        "object": "list",
        "data": ["response.completed", "response.failed", "response.cancelled", "response.incomplete"],
    }
    with refused(400, "invalid_value", "event_types[0]"):
        client.webhooks.create(name="x", url=URL, event_types=["batch.completed"])


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com",
        "ftp://hooks.example.com",
        "https://",
        "https://[::1",
        "https://a b.example",
        "https://127.0.0.1/hook",
        "https://127.1/hook",
        "https://0x7f000001/hook",
        "https://169.254.169.254/latest",
        "https://[::1]/hook",
        "https://10.0.0.1:8443/",
    ],
)
def test_an_address_that_is_not_public_or_not_secure_is_refused(client: OpenAI, url: str) -> None:
    with refused(400, "invalid_url", "url"):
        client.webhooks.create(name="x", url=url, event_types=["response.completed"])


def test_a_name_that_leads_into_the_servers_network_is_not_asked(client: OpenAI) -> None:
    made = client.webhooks.create(
        name="x", url="https://localhost:9/hook", event_types=["response.completed"]
    )
    with refused(400, "webhook_delivery_failed") as refusal:
        client.webhooks.test(made.id, event_type="response.completed")
    assert "[outbound] allow_private" in refusal.message
    client.webhooks.delete(made.id)


async def test_the_end_of_a_background_response_is_sent_to_an_endpoint_of_its_project(
    private: Running, upstream: Upstream
) -> None:
    upstream.script(Answer("Hello"), Answer("Again"))
    async with Receiver() as receiver:
        with checked_client(private.url) as client:
            made = client.webhooks.create(name="x", url=receiver.url, event_types=["response.completed"])
            response = begin(client)
            received = await receiver.next()
            event = client.webhooks.unwrap(received.body, received.headers, secret=made.signing_secret)
            assert (event.type, event.data.id) == ("response.completed", response.id)

            client.webhooks.update(made.id, event_types=["response.failed"])
            begin(client)
            await asyncio.to_thread(client.webhooks.test, made.id, event_type="response.cancelled")
            received = await receiver.next()
    assert b"response.cancelled" in received.body


@covers("endpoint.POST /webhook_endpoints/{webhook_endpoint_id}/rotate_secret")
async def test_the_secret_in_front_of_a_new_one_counts_for_a_day_if_that_is_wished(
    private: Running,
) -> None:
    async with Receiver() as receiver:
        with checked_client(private.url) as client:
            made = client.webhooks.create(name="x", url=receiver.url, event_types=["response.failed"])
            kept = client.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
            await asyncio.to_thread(client.webhooks.test, made.id, event_type="response.failed")
            both = await receiver.next()
            for secret in (made.signing_secret, kept.signing_secret):
                client.webhooks.unwrap(both.body, both.headers, secret=secret)

            newest = client.webhooks.rotate_secret(made.id)
            await asyncio.to_thread(client.webhooks.test, made.id, event_type="response.failed")
            one = await receiver.next()
            client.webhooks.unwrap(one.body, one.headers, secret=newest.signing_secret)
            for secret in (made.signing_secret, kept.signing_secret):
                with pytest.raises(InvalidWebhookSignatureError):
                    client.webhooks.unwrap(one.body, one.headers, secret=secret)
    assert newest.signing_secret_hint != kept.signing_secret_hint


@covers("endpoint.POST /webhook_endpoints/{webhook_endpoint_id}/test")
async def test_a_test_says_what_the_endpoint_answered(private: Running) -> None:
    async with Receiver() as receiver:
        receiver.answers.extend([Reply(500), Reply(204)])
        with checked_client(private.url) as client:
            made = client.webhooks.create(name="x", url=receiver.url, event_types=["response.failed"])
            asked = [
                await asyncio.to_thread(client.webhooks.test, made.id, event_type="response.completed")
                for _ in range(2)
            ]
    assert [whole(each) for each in asked] == [
        {
            "object": "webhook_endpoint.test",
            "webhook_endpoint_id": made.id,
            "event_type": "response.completed",
            "status_code": status,
            "success": True,
        }
        for status in (500, 204)
    ]
    with checked_client(private.url) as client, pytest.raises(BadRequestError, match="connection refused"):
        client.webhooks.test(made.id, event_type="response.completed")


def test_a_project_does_not_see_the_endpoints_of_another(upstream: Upstream, tmp_path: Path) -> None:
    server = Server(verify=True, keys={"one": hash_key("k1"), "two": hash_key("k2")})
    with (
        Running(config_for(upstream, tmp_path, server)) as running,
        checked_client(running.url, "k1") as one,
        checked_client(running.url, "k2") as two,
    ):
        made = one.webhooks.create(name="x", url=URL, event_types=["response.completed"])
        assert two.webhooks.list().data == []
        with refused(404, param="webhook_endpoint_id"):
            two.webhooks.update(made.id, name="y")


def test_no_secret_lies_open_in_the_data(upstream: Upstream, tmp_path: Path) -> None:
    with Running(config_for(upstream, tmp_path)) as running, checked_client(running.url) as own:
        made = own.webhooks.create(name="x", url=URL, event_types=["response.completed"])
    secret = made.signing_secret.removeprefix("whsec_").encode()
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert files
    assert not any(secret in file.read_bytes() for file in files)
