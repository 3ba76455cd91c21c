"""Chunks: what is searched in a vector store, with texts, words and vectors.

A chunk is found when its file is in a store and completed. What is written of a file before that, and what
a file leaves that was taken out, nobody finds: it waits for `purge`, which takes a few chunks at a time, so
that nobody else who writes waits long.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from antiphon.retrieval.filters import Filter
from antiphon.retrieval.lexical import Expression
from antiphon.store import vector_words, work
from antiphon.store.database import Database
from antiphon.store.statements import Insert, Own, Statement, Steps, placeholders, portions
from antiphon.store.work import Job

PURGE = "purge_chunks"
FORGET = "forget_words"
"""Kinds of jobs. The payload of the first is JSON: keys of entries."""
FORGET_SECONDS = 600.0
"""After so long the words of deleted texts are gone: many deletions have one rewriting of the index."""
AT_ONCE = 32
"""Chunks, and files, in one transaction."""
_ROWS = 500
"""Rows that are read by one statement which names them."""
_KEYS = 2**32
"""Keys for the chunks of each store."""


class NewChunk(Struct, frozen=True):
    number: int
    start: int
    own_start: int
    own_end: int
    """Characters of the file's text."""
    about: str
    text: str
    vectors: bytes
    """One behind another, as `retrieval.packing` makes them: a byte for each number."""

    @property
    def own(self) -> str:
        return self.text[self.own_start - self.start : self.own_end - self.start]

    @property
    def size(self) -> int:
        """Bytes that it keeps."""
        return len(self.text.encode()) + len(self.vectors)


class ChunkVectors(Struct, frozen=True, gc=False):
    key: int
    entry: int
    vectors: bytes


class FoundChunk(Struct, frozen=True):
    key: int
    entry: int
    file_id: str
    filename: str
    attributes: str
    """A JSON object."""
    start: int
    text: str


class VectorChunks:
    """What searches read. `store` is a store's key; every chunk is one that may be found."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def entries(self, store: int) -> set[int]:
        """The keys of the files that are completed."""
        return await self._database.read_long(entries, store)

    async def vectors(self, store: int, after: int, limit: int) -> Sequence[ChunkVectors]:
        """Of all files, in the order of their keys, behind a key."""
        return await self._database.read_long(load_vectors, store, after, limit)

    async def vectors_of(self, some: Sequence[int], after: int, limit: int) -> Sequence[ChunkVectors]:
        """Of some files: at most `AT_ONCE` entries."""
        return await self._database.read_long(load_vectors_of, some, after, limit)

    async def vectors_at(self, keys: Sequence[int]) -> Sequence[ChunkVectors]:
        """Of these chunks, as far as they are there."""
        return await self._database.read_long(load_vectors_at, keys)

    async def fitting(self, store: int, wanted: Filter) -> set[int]:
        """The keys of the entries whose attributes fit. Raises FilterTooLarge."""
        return await self._database.read_long(load_fitting, store, wanted)

    async def said(
        self, project: str, store: int, expression: Expression, count: int, entries: Sequence[int] | None
    ) -> dict[int, float]:
        """The best keys for a question, with their bm25. `entries`: only of these."""
        return await self._database.read_long(vector_words.find, project, store, expression, count, entries)

    async def texts(self, keys: Sequence[int]) -> dict[int, FoundChunk]:
        """What is there of them."""
        return await self._database.read_long(load_texts, keys)

    async def own_texts(self, keys: Sequence[int]) -> dict[int, str]:
        """What is there of them: what each stands under, and its own part."""
        return await self._database.read_long(load_own_texts, keys)

    async def purge(self, project: str, some: Sequence[int]) -> bool:
        """Delete a few chunks of these entries. Gives whether there may be more."""
        return await self._database.write(purge, project, some)

    async def forget(self, project: str) -> bool:
        """Forget some of the words of what was deleted. Gives whether there may be more."""
        return await self._database.write(vector_words.forget, project)


def insert(project: str, store: int, entry: int, first: int, chunks: Sequence[NewChunk]) -> Steps[None]:
    """Keep chunks of a file, from the number `first` of the store on."""
    keys = range(store * _KEYS + first, store * _KEYS + first + len(chunks))
    rows = [
        (key, project, entry, c.number, c.start, c.own_start, c.own_end, c.about, c.text, c.vectors)
        for key, c in zip(keys, chunks, strict=True)
    ]
    into = "vector_chunks (key, project_id, entry, number, start, own_start, own_end, about, text, vectors)"
    yield Insert(into, rows)
    yield from vector_words.insert(
        project, entry, [(key, c.about, c.own) for key, c in zip(keys, chunks, strict=True)]
    )


def discard(project: str, some: Sequence[int], now: float) -> Steps[None]:
    """Nobody needs the chunks of these entries: the first few go at once, the others by a job."""
    more = len(some) > AT_ONCE
    if some:
        more = (yield from purge(project, some[:AT_ONCE])) or more
    jobs = [
        Job(kind=PURGE, payload=msgspec.json.encode(some), project=project) if more else None,
        Job(kind=FORGET, payload=b"", project=project, name=project, run_at=now + FORGET_SECONDS),
    ]
    yield from work.enqueue([job for job in jobs if job is not None])


def purge(project: str, some: Sequence[int]) -> Steps[bool]:
    named = placeholders(1, len(some))
    sql = f"""
        SELECT key, about, substr(text, own_start - start + 1, own_end - own_start) FROM vector_chunks
        WHERE entry IN ({named}) LIMIT {AT_ONCE}"""
    rows = yield Statement(sql, tuple(some))
    if rows:
        yield from vector_words.delete(project, [(key, about, own) for key, about, own in rows])
        keys = tuple(key for key, *_ in rows)
        yield Statement(f"DELETE FROM vector_chunks WHERE key IN ({placeholders(1, len(keys))})", keys)
    return len(rows) == AT_ONCE


# ---- what searches read -----------------------------------------------------------------------------

_COMPLETED = "f.status = 'completed'"


def entries(store: int) -> Steps[set[int]]:
    sql = f"SELECT f.key FROM vector_store_files AS f WHERE f.store = $1 AND {_COMPLETED}"
    return {key for (key,) in (yield Statement(sql, (store,)))}


def load_vectors(store: int, after: int, limit: int) -> Steps[list[ChunkVectors]]:
    first, end = keys_of(store)
    sql = f"""
        SELECT c.key, c.entry, c.vectors
        FROM vector_chunks AS c JOIN vector_store_files AS f ON f.key = c.entry
        WHERE c.key >= $1 AND c.key < $2 AND {_COMPLETED} ORDER BY c.key LIMIT $3"""
    rows = yield Statement(sql, (max(first, after + 1), end, limit))
    return [ChunkVectors(*row) for row in rows]


def load_vectors_of(some: Sequence[int], after: int, limit: int) -> Steps[list[ChunkVectors]]:
    sql = f"""
        SELECT c.key, c.entry, c.vectors
        FROM vector_chunks AS c JOIN vector_store_files AS f ON f.key = c.entry
        WHERE c.entry IN ({placeholders(3, len(some))}) AND c.key > $1 AND {_COMPLETED}
        ORDER BY c.key LIMIT $2"""
    return [ChunkVectors(*row) for row in (yield Statement(sql, (after, limit, *some)))]


def load_vectors_at(keys: Sequence[int]) -> Steps[list[ChunkVectors]]:
    found: list[ChunkVectors] = []
    for begin in range(0, len(keys), _ROWS):
        some = keys[begin : begin + _ROWS]
        sql = f"""
            SELECT c.key, c.entry, c.vectors
            FROM vector_chunks AS c JOIN vector_store_files AS f ON f.key = c.entry
            WHERE c.key IN ({placeholders(1, len(some))}) AND {_COMPLETED}"""
        found += [ChunkVectors(*row) for row in (yield Statement(sql, tuple(some)))]
    return found


def load_fitting(store: int, wanted: Filter) -> Steps[set[int]]:
    return {key for (key,) in (yield Own("fitting", (store, wanted)))}


def load_texts(keys: Sequence[int]) -> Steps[dict[int, FoundChunk]]:
    found: dict[int, FoundChunk] = {}
    for some in portions(keys):
        sql = f"""
            SELECT c.key, c.entry, files.id, files.filename, f.attributes, c.start, c.text
            FROM vector_chunks AS c JOIN vector_store_files AS f ON f.key = c.entry
            JOIN files ON files.key = f.file
            WHERE c.key IN ({placeholders(1, len(some))})"""
        found.update((row[0], FoundChunk(*row)) for row in (yield Statement(sql, some)))
    return found


def load_own_texts(keys: Sequence[int]) -> Steps[dict[int, str]]:
    found: dict[int, str] = {}
    for some in portions(keys):
        sql = f"""
            SELECT key, trim(about) || char(10) || substr(text, own_start - start + 1, own_end - own_start)
            FROM vector_chunks WHERE key IN ({placeholders(1, len(some))})"""
        found.update((yield Statement(sql, some)))
    return found


def store_of(chunk: int) -> int:
    """The key of the store that a chunk is in."""
    return chunk // _KEYS


def keys_of(store: int) -> tuple[int, int]:
    """The first key that a chunk of the store may have, and the first behind them."""
    return store * _KEYS, (store + 1) * _KEYS
