"""What the tests of vector stores are written with."""

from collections.abc import Sequence

import numpy as np
from tests.store.contract.kit import P

from antiphon.retrieval.packing import packed
from antiphon.store.files import FileRow
from antiphon.store.store import Store
from antiphon.store.vector_chunks import NewChunk
from antiphon.store.vector_files import INDEX
from antiphon.store.vector_index import Slice
from antiphon.store.vector_stores import NewStore
from antiphon.store.work import ClaimedJob

LEASE = 5.0


async def add_file(store: Store, file_id: str, project: str = P) -> None:
    await store.files.add(project, FileRow(file_id, 1, f"{file_id}.txt", "assistants", 5, b"sha"))


def new_store(store_id: str = "vs", days: int | None = None) -> NewStore:
    return NewStore(
        id=store_id, name="", description=None, metadata=b"{}", expires_days=days, embedder="mini"
    )


def chunk(number: int, text: str = "a green tree", vector: Sequence[float] = (1.0, 0.0)) -> NewChunk:
    return NewChunk(number, 0, 0, len(text), "", text, packed(np.array([vector], np.float32)).tobytes())


async def claim(store: Store, kind: str = INDEX, owner: str = "worker") -> ClaimedJob:
    (job,) = await store.work.claim([kind], owner, LEASE, 1)
    return job


async def index(store: Store, texts: Sequence[str] = ("a green tree",)) -> int:
    """The next file that waits; gives the key of its entry."""
    job = await claim(store)
    entry = int(job.payload)
    begun = await store.vector_index.begin(job, entry, "mini")
    assert begun is not None
    for number, text in enumerate(texts):
        assert await store.vector_index.write(job, entry, Slice([chunk(number, text)], 2))
    assert await store.vector_index.complete(job, entry)
    return entry
