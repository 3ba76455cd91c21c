"""Indexing, as it is kept: what is begun, written and ended of a file in a vector store.

Every step names its job, and does nothing when that is lost: the file was taken out, or another process has
taken over. Chunks are written in their order and counted in the transaction that writes them, so whoever
takes over knows how many there are, and none is written twice.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from antiphon.store import vector_chunks, vector_files, work
from antiphon.store.database import Database
from antiphon.store.errors import OtherVectors
from antiphon.store.statements import Statement, Steps, one
from antiphon.store.vector_chunks import NewChunk
from antiphon.store.work import ClaimedJob

ErrorCode = Literal["server_error", "unsupported_file", "invalid_file"]


class Begun(Struct, frozen=True):
    """A file that is to be indexed."""

    id: str
    """Of the file."""
    filename: str
    chunk_tokens: int
    overlap: int
    chunks: int
    """How many are written already."""


class Slice(Struct, frozen=True):
    """Chunks that follow each other, made with one embedder."""

    chunks: Sequence[NewChunk]
    dimension: int


class VectorIndex:
    """For whoever does jobs of the kind `vector_files.INDEX`. `entry` is the key in their payload."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, job: ClaimedJob, entry: int, embedder: str) -> Begun | None:
        """None: there is nothing to do. What another embedder's index has left is deleted. Raises
        OtherVectors when the store has vectors of another embedder."""
        while await self._database.write(clear, job, entry, embedder):
            pass
        return await self._database.write(begin, job, entry, embedder)

    async def write(self, job: ClaimedJob, entry: int, some: Slice) -> bool:
        """False: the job is lost. Raises OtherVectors."""
        return await self._database.write(write, job, entry, some)

    async def complete(self, job: ClaimedJob, entry: int) -> bool:
        """The file can be searched, and the job is done. False: it is lost."""
        return await self._database.write(complete, job, entry)

    async def fail(self, job: ClaimedJob, entry: int, code: ErrorCode, message: str) -> bool:
        """It cannot be indexed, and the job is done. False: it is lost."""
        return await self._database.write(fail, job, entry, code, message, self._database.clock())


def clear(job: ClaimedJob, entry: int, embedder: str) -> Steps[bool]:
    """Delete some of what was made with another embedder. Gives whether there is more."""
    sql = "SELECT 1 FROM vector_store_files WHERE key = $1 AND embedder <> $2 AND chunks > 0"
    if not (yield Statement(sql, (entry, embedder))) or not (yield from work.holds(job)):
        return False
    if (yield from vector_chunks.purge(job.project or "", [entry])):
        return True
    yield Statement("UPDATE vector_store_files SET chunks = 0, usage_bytes = 0 WHERE key = $1", (entry,))
    return False


def begin(job: ClaimedJob, entry: int, embedder: str) -> Steps[Begun | None]:
    if not (yield from work.holds(job)):
        return None
    sql = """
        SELECT s.key, s.id, s.embedder, s.dimension, files.id, files.filename, f.chunk_tokens,
            f.overlap, f.chunks
        FROM vector_store_files AS f JOIN vector_stores AS s ON s.key = f.store
        JOIN files ON files.key = f.file
        WHERE f.key = $1 AND f.status = 'in_progress'"""
    found = yield from one(Statement(sql, (entry,)))
    if found is None:
        return None
    store, store_id, made_with, dimension, *file = found
    if made_with != embedder:
        if dimension is not None:
            raise OtherVectors(store_id, made_with, embedder)
        yield Statement("UPDATE vector_stores SET embedder = $1 WHERE key = $2", (embedder, store))
    yield Statement("UPDATE vector_store_files SET embedder = $1 WHERE key = $2", (embedder, entry))
    return Begun(*file)


def write(job: ClaimedJob, entry: int, some: Slice) -> Steps[bool]:
    if not (yield from work.holds(job)):
        return False
    size = sum(chunk.size for chunk in some.chunks)
    sql = """
        UPDATE vector_store_files SET chunks = chunks + $1, usage_bytes = usage_bytes + $2
        WHERE key = $3 AND chunks = $4 RETURNING store"""
    count = len(some.chunks)
    found = yield from one(Statement(sql, (count, size, entry, some.chunks[0].number)))
    if found is None:
        return False
    sql = """
        UPDATE vector_stores
        SET next_chunk = next_chunk + $1, dimension = coalesce(nullif(dimension, 0), CAST($2 AS BIGINT))
        WHERE key = $3 RETURNING next_chunk, dimension, project_id, id, embedder"""
    ((end, dimension, project, store_id, embedder),) = yield Statement(sql, (count, some.dimension, *found))
    if dimension != some.dimension:
        raise OtherVectors(store_id, f"{embedder} ({dimension})", f"{embedder} ({some.dimension})")
    yield from vector_chunks.insert(project, found[0], entry, end - count, some.chunks)
    return True


def complete(job: ClaimedJob, entry: int) -> Steps[bool]:
    if not (yield from work.finish(job, ())):
        return False
    sql = "UPDATE vector_store_files SET status = 'completed' WHERE key = $1 RETURNING store"
    yield from _renew_versions((yield Statement(sql, (entry,))))
    return True


def fail(job: ClaimedJob, entry: int, code: ErrorCode, message: str, now: float) -> Steps[bool]:
    if not (yield from work.finish(job, ())):
        return False
    sql = """
        UPDATE vector_store_files
        SET status = 'failed', error_code = $1, error_message = $2, chunks = 0, usage_bytes = 0
        WHERE key = $3"""
    yield Statement(sql, (code, message, entry))
    yield from vector_chunks.discard(job.project or "", [entry], now)
    return True


def _renew_versions(stores: Sequence[tuple[int, ...]]) -> Steps[None]:
    for (store,) in stores:
        yield from vector_files.renew_version(store)
