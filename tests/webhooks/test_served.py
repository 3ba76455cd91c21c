"""The sender, as part of the server."""

import time
from pathlib import Path

from msgspec.structs import replace
from openai import OpenAI
from tests.conftest import Running, config_for
from tests.receiver import Receiver
from tests.scripted import Upstream

from antiphon.config import Webhook
from antiphon.store.sqlite import SqliteStore
from antiphon.webhooks.endpoints import Endpoint, deliveries_for, secret_of


async def test_a_server_sends_what_was_written_before_it_started(upstream: Upstream, tmp_path: Path) -> None:
    key = bytes(range(40))
    store = await SqliteStore.open(tmp_path / "antiphon.db")
    made = deliveries_for([Endpoint("hook", "", key)], "default", "resp_1", "failed", time.time())
    await store.webhooks.add(made)
    await store.close()

    async with Receiver() as receiver:
        hook = Webhook(url=receiver.url, secret=secret_of(key))
        with Running(replace(config_for(upstream, tmp_path), webhooks={"hook": hook})):
            received = await receiver.next()

    event = OpenAI(api_key="none").webhooks.unwrap(received.body, received.headers, secret=secret_of(key))
    assert event.type == "response.failed"
    assert event.data.id == "resp_1"
