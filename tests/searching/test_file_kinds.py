"""Files of all kinds on their whole way into a store: indexed, or failed in words, by a server that answers
others meanwhile."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI
from tests.attack.probe import Probe
from tests.conftest import checked_client
from tests.killed import Killed
from tests.scripted import Upstream
from tests.searching.hostile import BAD, KINDS, LARGE, SAYS, Sample

MOST_HELD = 1.0
"""Seconds. What else runs beside it holds the server up as well."""
TOO_LATE = "it took longer than"
"""What is said of any file that is too much where the machine is busy."""


@pytest.fixture
def server(upstream: Upstream, tmp_path: Path) -> Iterator[Killed]:
    with Killed(tmp_path, upstream) as killed:
        yield killed


def indexed(client: OpenAI, store_id: str, sample: Sample) -> str:
    """The id of a file that the store has taken in or given up, as it should."""
    file_id = client.files.create(file=(sample.name, sample.make()), purpose="assistants").id
    file = client.vector_stores.files.create_and_poll(file_id, vector_store_id=store_id, poll_interval_ms=50)
    words = file.last_error.message if file.last_error else ""
    assert (file.status, words) == ("failed", words) if sample.fault else ("completed", "")
    assert sample.fault in words or TOO_LATE in words
    return file_id


@pytest.mark.parametrize("sample", KINDS, ids=lambda sample: sample.name)
def test_the_text_of_a_file_is_found(client: OpenAI, sample: Sample) -> None:
    store = client.vector_stores.create(name="papers")
    file_id = indexed(client, store.id, sample)

    page = client.vector_stores.files.content(file_id, vector_store_id=store.id)
    found = client.vector_stores.search(store.id, query="How many lamps?")

    assert SAYS in "".join(part.text or "" for part in page.data)
    assert [each.filename for each in found.data] == [sample.name]


@pytest.mark.parametrize("name", ["utf8.txt", "utf8-bom.txt", "utf16.txt", "latin1.txt"])
def test_letters_are_read_in_the_encoding_that_they_are_written_in(client: OpenAI, name: str) -> None:
    store = client.vector_stores.create()
    (sample,) = (each for each in KINDS if each.name == name)
    file_id = indexed(client, store.id, sample)

    page = client.vector_stores.files.content(file_id, vector_store_id=store.id)

    assert [part.text for part in page.data] == [f"Größe: {SAYS}."]


@pytest.mark.parametrize("sample", BAD, ids=lambda sample: sample.name)
def test_a_file_without_text_fails_in_words(client: OpenAI, sample: Sample) -> None:
    store = client.vector_stores.create()

    indexed(client, store.id, sample)

    counts = client.vector_stores.retrieve(store.id).file_counts
    assert (counts.failed, counts.total) == (1, 1)


@pytest.mark.attack
def test_large_files_are_indexed_or_fail_in_words_and_nobody_waits_for_them(server: Killed) -> None:
    host, _, port = server.url.removeprefix("http://").partition(":")
    with checked_client(server.url) as client, Probe((host, int(port))) as probe:
        store = client.vector_stores.create()
        indexed(client, store.id, KINDS[0])  # the embedder is loaded, once

        def held(sample: Sample) -> float:
            begun = time.monotonic()
            indexed(client, store.id, sample)
            return probe.worst(begun, time.monotonic())

        for sample in LARGE:  # other tests may hold it up once, what it does itself would each time
            assert any(held(sample) < MOST_HELD for _ in range(3)), sample.name
