"""The sender, as part of the server."""

import time
from pathlib import Path

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.test_background import begin
from tests.conftest import Running, checked_client, config_for
from tests.receiver import Receiver
from tests.scripted import Answer, Gate, Upstream, refusal

from antiphon.config import Webhook
from antiphon.store.open import open_store
from antiphon.webhooks.endpoints import Endpoint, deliveries_for, secret_of


async def test_a_server_sends_what_was_written_before_it_started(upstream: Upstream, tmp_path: Path) -> None:
    key = bytes(range(40))
    config = config_for(upstream, tmp_path)
    store = await open_store(config.store_url)
    made = deliveries_for([Endpoint("hook", "", key)], "default", "resp_1", "failed", time.time())
    await store.webhooks.add(made)
    await store.close()

    async with Receiver() as receiver:
        hook = Webhook(url=receiver.url, secret=secret_of(key))
        with Running(replace(config, webhooks={"hook": hook})):
            received = await receiver.next()

    event = OpenAI(api_key="none").webhooks.unwrap(received.body, received.headers, secret=secret_of(key))
    assert event.type == "response.failed"
    assert event.data.id == "resp_1"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer("Hello"), "completed"),
        (Answer("Hello", finish="length"), "incomplete"),
        (refusal(503, "Overloaded."), "failed"),
        (Answer("Hello", gate=Gate(after=0)), "cancelled"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_the_end_of_a_background_response_is_sent(
    upstream: Upstream, tmp_path: Path, answer: Answer, status: str
) -> None:
    key = bytes(range(40))
    upstream.script(answer)
    async with Receiver() as receiver:
        hook = Webhook(url=receiver.url, secret=secret_of(key))
        config = replace(config_for(upstream, tmp_path), webhooks={"hook": hook})
        with Running(config) as running, checked_client(running.url) as client:
            response = begin(client)
            if status == "cancelled":
                client.responses.cancel(response.id)
            received = await receiver.next()
            event = client.webhooks.unwrap(received.body, received.headers, secret=secret_of(key))
            assert client.responses.retrieve(response.id).status == status
    assert (event.type, event.data.id) == (f"response.{status}", response.id)
