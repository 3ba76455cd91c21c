"""Servers on several machines, with one database and one place for what files hold: what one of them does,
the others find."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.storing import HARBOURS, TREES, filled, upload
from tests.conftest import Running, checked_client, config_for, new_blobs
from tests.kept_at import new_store
from tests.scripted import Upstream

from antiphon.config import Config


@pytest.fixture
def configs(upstream: Upstream, tmp_path: Path) -> list[Config]:
    """Of two machines."""
    store, blobs = new_store("postgres"), new_blobs("s3")
    machines = [config_for(upstream, tmp_path / name) for name in ("one", "two")]
    return [replace(machine, store=store, blobs=blobs) for machine in machines]


@pytest.fixture
def clients(configs: list[Config]) -> Iterator[tuple[OpenAI, OpenAI]]:
    with (
        Running(configs[0]) as one,
        Running(configs[1]) as two,
        checked_client(one.url) as first,
        checked_client(two.url) as second,
    ):
        yield first, second


def found(client: OpenAI, store_id: str, question: str) -> list[str]:
    """The names of the files in which something was found."""
    return [result.filename for result in client.vector_stores.search(store_id, query=question)]


def test_what_one_server_adds_and_deletes_the_other_finds_and_finds_no_more(
    clients: tuple[OpenAI, OpenAI],
) -> None:
    one, two = clients
    store, (trees, harbours) = filled(one, TREES, HARBOURS)
    assert set(found(two, store.id, "Where do ships unload?")) == {"file0.md", "file1.md"}

    one.vector_stores.files.delete(harbours, vector_store_id=store.id)
    assert found(two, store.id, "Where do ships unload?") == ["file0.md"]

    more = upload(two, b"A lighthouse warns ships.", "light.md")
    two.vector_stores.files.create_and_poll(more, vector_store_id=store.id)
    assert found(one, store.id, "What warns ships?")[0] == "light.md"

    two.files.delete(trees)
    assert found(one, store.id, "What warns ships?") == ["light.md"]


def test_what_a_server_began_to_index_another_one_ends(configs: list[Config]) -> None:
    with Running(configs[0]) as one, checked_client(one.url) as client:
        ids = [upload(client, TREES * 50, f"{number}.md") for number in range(8)]
        store = client.vector_stores.create(file_ids=ids)
        assert store.file_counts.in_progress == 8

    with Running(configs[1]) as two, checked_client(two.url) as client:
        for file_id in ids:
            assert client.vector_stores.files.poll(file_id, vector_store_id=store.id).status == "completed"
        assert len(set(found(client, store.id, "How old are oaks?"))) > 1
