"""A response whose days are over, over the wire."""

import time
from pathlib import Path

import pytest
from openai import BadRequestError, NotFoundError
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Upstream

from antiphon.store.retention import DAY, Retention, retention_rules
from antiphon.store.sqlite.database import open_sqlite


async def test_a_response_whose_days_are_over_is_not_found_but_its_conversation_goes_on(
    upstream: Upstream, tmp_path: Path
) -> None:
    upstream.script(*(Answer("Hi") for _ in range(3)))
    with Running(config_for(upstream, tmp_path)) as server, checked_client(server.url) as client:
        conversation = client.conversations.create()
        first = client.responses.create(model="m", input="Hello", conversation=conversation.id)
        other = client.responses.create(model="m", input="Hello")

        store = await open_sqlite(tmp_path / "antiphon.db")
        await Retention(retention_rules(store, 30, 24, 30, 90), lambda: time.time() + 31 * DAY).sweep()
        await store.close()

        for gone in (first.id, other.id):
            with pytest.raises(NotFoundError):
                client.responses.retrieve(gone)
        with pytest.raises(BadRequestError) as refused:
            client.responses.create(model="m", input="And?", previous_response_id=other.id)
        assert refused.value.code == "previous_response_not_found"
        listed = client.conversations.items.list(conversation.id)
        assert [item.type for item in listed] == ["message", "message"]
        client.responses.create(model="m", input="And?", conversation=conversation.id)
