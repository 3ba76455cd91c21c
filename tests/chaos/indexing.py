"""Many files in one batch, and a server that is killed while it indexes them: each is indexed once, and its
counts are right whenever somebody looks."""

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from openai import APIConnectionError, OpenAI
from openai.types.vector_stores import VectorStoreFileBatch
from tests.killed import Killed

PATIENCE = 600.0
_LOOK = 0.05


@dataclass(frozen=True)
class Outcome:
    """What came of it, in seconds and numbers."""

    files: int
    seconds: float
    killed_at: list[int]
    """How many files were indexed whenever the server was killed."""
    looks: int
    """How often the counts were looked at."""


class Watched:
    """A batch whose counts are held against what they may be at every look."""

    def __init__(self, client: OpenAI, store_id: str, batch: VectorStoreFileBatch, files: int) -> None:
        self._client = client
        self._store_id = store_id
        self._batch_id = batch.id
        self._files = files
        self.completed = 0
        self.looks = 0

    def look(self) -> bool:
        """Whether everything is indexed. A server that is being started is asked again."""
        try:
            batch = self._client.vector_stores.file_batches.retrieve(
                self._batch_id, vector_store_id=self._store_id
            )
            store = self._client.vector_stores.retrieve(self._store_id)
        except APIConnectionError:
            return False
        for counts in (batch.file_counts, store.file_counts):
            assert counts.total == counts.in_progress + counts.completed == self._files, counts
            assert (counts.failed, counts.cancelled) == (0, 0), counts
            assert counts.completed >= self.completed, "a file that was indexed is not any more"
            self.completed = counts.completed
        assert (batch.status == "completed") == (batch.file_counts.in_progress == 0)
        self.looks += 1
        return batch.status == "completed"


def index_through_deaths(server: Killed, files: int, deaths: int = 2) -> Outcome:
    """Index so many files on a server that is killed on the way. Raises AssertionError when anything is wrong
    of what clients see or the database keeps."""
    with OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        file_ids = [_upload(client, number) for number in range(files)]
        store = client.vector_stores.create(name="many")
        begun = time.monotonic()
        batch = client.vector_stores.file_batches.create(store.id, file_ids=file_ids)
        watched = Watched(client, store.id, batch, files)
        killed_at = []
        for death in range(1, deaths + 1):
            _until(watched, files * death // (deaths + 1))
            killed_at.append(watched.completed)
            server.kill()
            server.start()
        _until(watched, files)
        seconds = time.monotonic() - begun
    _check_database(server.database, file_ids)
    return Outcome(files, seconds, killed_at, watched.looks)


def text_of(number: int) -> str:
    return f"# Sheet {number}\n\nThe bridge with the number {number} is {number + 7} metres long.\n"


def _upload(client: OpenAI, number: int) -> str:
    return client.files.create(file=(f"sheet-{number}.md", text_of(number).encode()), purpose="assistants").id


def _until(watched: Watched, completed: int) -> None:
    """Returns when so many files are indexed."""
    end = time.monotonic() + PATIENCE
    while not watched.look() and watched.completed < completed:
        assert time.monotonic() < end, f"only {watched.completed} files are indexed"
        Event().wait(_LOOK)


def _check_database(path: Path, file_ids: list[str]) -> None:
    """Every file has its one chunk, in every table that chunks are in, and no work is left."""
    with closing(sqlite3.connect(path)) as database:
        texts = dict(
            database.execute(
                "SELECT files.id, c.text FROM vector_chunks AS c"
                " JOIN vector_store_files AS f ON f.key = c.entry JOIN files ON files.key = f.file"
            )
        )
        ((chunks, counted, words, left),) = database.execute(
            "SELECT (SELECT count(*) FROM vector_chunks), (SELECT sum(chunks) FROM vector_store_files),"
            " (SELECT count(*) FROM words_1_docsize), (SELECT count(*) FROM work WHERE kind = 'index_file')"
        )
    assert texts == {file_id: text_of(number) for number, file_id in enumerate(file_ids)}
    assert (chunks, counted, words, left) == (len(file_ids), len(file_ids), len(file_ids), 0)
