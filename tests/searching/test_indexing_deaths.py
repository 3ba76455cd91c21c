"""A server that is killed while it indexes: every file is indexed in the end, and none twice."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from openai import OpenAI
from tests.api.storing import counted, upload
from tests.chaos.indexing import index_through_deaths
from tests.conftest import checked_client
from tests.killed import Killed
from tests.scripted import Upstream

FILES = 8
SENTENCES = 200


@pytest.fixture
def server(upstream: Upstream, tmp_path: Path) -> Iterator[Killed]:
    with Killed(tmp_path, upstream) as killed:
        yield killed


def text_of(number: int) -> str:
    return "".join(
        f"File {number} says in sentence {each} what nobody else does. " for each in range(SENTENCES)
    )


def chunks_reach(server: Killed, count: int) -> None:
    """Returns when so many chunks are written."""
    with closing(sqlite3.connect(server.database)) as database:
        written = 0
        while written < count:
            ((written,),) = database.execute("SELECT count(*) FROM vector_chunks")


def die(server: Killed) -> None:
    server.kill()
    server.start()


@pytest.mark.chaos
def test_files_are_indexed_once_however_often_the_server_is_killed(server: Killed) -> None:
    with checked_client(server.url) as client:
        batch_id, store_id, file_ids = _begin(client)
        chunks_reach(server, 10)
        die(server)
        chunks_reach(server, 30)
        die(server)
        batch = client.vector_stores.file_batches.poll(batch_id, vector_store_id=store_id)

        assert batch.file_counts.to_dict() == counted(completed=FILES)
        for number, file_id in enumerate(file_ids):
            page = client.vector_stores.files.content(file_id, vector_store_id=store_id)
            assert "".join(part.text or "" for part in page.data) == text_of(number)
            found = client.vector_stores.search(store_id, query=f"file {number}", max_num_results=50)
            assert found.data
    with closing(sqlite3.connect(server.database)) as database:
        ((chunks, numbers),) = database.execute(
            "SELECT count(*), count(DISTINCT entry * 100000 + number) FROM vector_chunks"
        )
        ((counts,),) = database.execute("SELECT sum(chunks) FROM vector_store_files")
        ((words,),) = database.execute("SELECT count(*) FROM words_1_docsize")
        ((left,),) = database.execute("SELECT count(*) FROM work WHERE kind = 'index_file'")
    assert chunks == numbers == counts == words
    assert left == 0


def _begin(client: OpenAI) -> tuple[str, str, list[str]]:
    file_ids = [upload(client, text_of(number).encode(), f"{number}.txt") for number in range(FILES)]
    store = client.vector_stores.create()
    batch = client.vector_stores.file_batches.create(store.id, file_ids=file_ids)
    return batch.id, store.id, file_ids


@pytest.mark.chaos
def test_a_store_that_is_deleted_while_its_server_dies_leaves_nothing(server: Killed) -> None:
    with checked_client(server.url) as client:
        _, store_id, _ = _begin(client)
        chunks_reach(server, 20)
        client.vector_stores.delete(store_id)
        die(server)
        with closing(sqlite3.connect(server.database)) as database:
            left = 1
            while left:
                ((left,),) = database.execute(
                    "SELECT (SELECT count(*) FROM vector_chunks) + (SELECT count(*) FROM words_1_docsize)"
                )
            ((rows,),) = database.execute("SELECT count(*) FROM vector_store_files")
        assert rows == 0
        assert len(client.files.list().data) == FILES


@pytest.mark.chaos
def test_a_batch_of_many_files_is_indexed_once_and_counted_right_through_two_deaths(server: Killed) -> None:
    outcome = index_through_deaths(server, files=200)

    assert len(outcome.killed_at) == 2
    assert 0 < outcome.killed_at[0] <= outcome.killed_at[1] < 200
