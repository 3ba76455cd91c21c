"""What becomes of a file whose indexing goes wrong."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.store.contract.homes import Home
from tests.store.contract.kit import P
from tests.store.contract.vectors import new_store

from antiphon.backends.embeddings import RemoteEmbedder
from antiphon.retrieval.documents import Documents
from antiphon.retrieval.embedder import Embedder, EmbedderError
from antiphon.retrieval.minilm import MiniLM
from antiphon.searching.indexer import ATTEMPTS, BEGUN, Indexer
from antiphon.store.file_storage import About, FileStorage
from antiphon.store.folder_blobs import FolderBlobs
from antiphon.store.store import Store
from antiphon.store.vector_files import INDEX, EntryRow, NewEntry
from antiphon.store.work import ClaimedJob


class World:
    """A store with one file, and how it is indexed."""

    def __init__(self, store: Store, files: FileStorage, file_id: str) -> None:
        self.store = store
        self.files = files
        self.file_id = file_id
        self.workers = 0

    def indexer(self, embedder: Embedder) -> Indexer:
        return Indexer(self.store, self.files, Documents(), embedder)

    async def claim(self) -> ClaimedJob:
        """The job, for a moment: another worker can claim it."""
        self.workers += 1
        (job,) = await self.store.work.claim([INDEX], f"worker {self.workers}", 0, 1)
        return job

    async def entry(self) -> EntryRow:
        row = await self.store.vector_files.get(P, "vs", self.file_id)
        assert row is not None
        return row


@pytest.fixture
async def world(home: Home, tmp_path: Path) -> AsyncIterator[World]:
    store = await home.open(time.time)
    files = FileStorage(store.files, FolderBlobs(tmp_path / "files"))
    async with files.incoming() as incoming:
        await incoming.write(b"An oak lives for a thousand years.")
        row = await files.add(P, incoming, About("oak.txt", "assistants"))
    await store.vector_stores.create(P, new_store(), [NewEntry(row.id)])
    yield World(store, files, row.id)
    await store.close()


@pytest.fixture
async def embedder() -> AsyncIterator[MiniLM]:
    embedder = MiniLM()
    yield embedder
    await embedder.close()


async def test_an_embedder_that_does_not_answer_is_asked_again_and_then_given_up(world: World) -> None:
    gone = RemoteEmbedder("http://127.0.0.1:9/v1", "gone")
    indexer = world.indexer(gone)

    for _ in range(ATTEMPTS - 1):
        with pytest.raises(EmbedderError):
            await indexer.index(await world.claim())
        assert (await world.entry()).status == "in_progress"
    await indexer.index(await world.claim())
    await gone.close()

    entry = await world.entry()
    assert (entry.status, entry.error_code) == ("failed", "server_error")
    assert "[embeddings]" in (entry.error_message or "")
    assert await world.store.work.due([INDEX]) is None


async def test_a_file_that_takes_its_server_along_is_given_up(world: World, embedder: MiniLM) -> None:
    for _ in range(BEGUN):
        await world.claim()

    await world.indexer(embedder).index(await world.claim())

    entry = await world.entry()
    assert (entry.status, entry.error_code) == ("failed", "invalid_file")


async def test_a_project_that_may_keep_no_more_is_told_so(world: World, embedder: MiniLM) -> None:
    await world.store.usage.bound(300)

    await world.indexer(embedder).index(await world.claim())

    entry = await world.entry()
    assert (entry.status, entry.error_code, entry.usage_bytes) == ("failed", "server_error", 0)
    assert "stored_bytes" in (entry.error_message or "")
    assert await world.store.usage.stored(P) == len(b"An oak lives for a thousand years.")


async def test_a_file_that_is_gone_is_not_indexed(world: World, embedder: MiniLM) -> None:
    job = await world.claim()
    await world.files.remove(P, world.file_id)

    await world.indexer(embedder).index(job)

    assert await world.store.vector_files.get(P, "vs", world.file_id) is None
