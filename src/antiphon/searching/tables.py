"""The vectors of stores that are searched, in memory: those used last, up to so many bytes.

Of a store that would take more than that alone, the signs are held: a sixth of it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence

import numpy as np
from numpy.typing import NDArray

from antiphon.retrieval.packing import from_bytes
from antiphon.retrieval.search import Keys
from antiphon.retrieval.vectors import SignTable, VectorTable
from antiphon.store.vector_chunks import AT_ONCE, ChunkVectors, VectorChunks
from antiphon.store.vector_stores import Searched

_ROWS = 4_000
"""Chunks that are read in one go."""


class Tables:
    """Every table is as its store was when it was asked for: what changed since then is read, the rest is
    there."""

    def __init__(self, chunks: VectorChunks, most_bytes: int) -> None:
        """The signs of one store are held however large it is."""
        self._chunks = chunks
        self._most = most_bytes
        self._held: OrderedDict[int, StoreTable] = OrderedDict()

    async def table(self, store: Searched) -> "StoreTable":
        held = self._held.setdefault(store.key, StoreTable(self._most))
        self._held.move_to_end(store.key)
        async with held.lock:
            if not held.fits(store):
                held.start(store)
            if held.version != store.version:
                await self._refresh(held, store)
        self._make_room(store.key)
        return held

    async def exactly(self, store: Searched, keys: Sequence[int]) -> VectorTable:
        """The vectors of some chunks, for a table that has their signs."""
        rows = await self._chunks.vectors_at(keys)
        dimension = store.dimension or 1
        table = VectorTable(dimension)
        await asyncio.to_thread(append, table, dimension, rows)
        return table

    @property
    def nbytes(self) -> int:
        return sum(held.vectors.nbytes for held in self._held.values())

    async def _refresh(self, held: "StoreTable", store: Searched) -> None:
        """Read what has come, and forget what has gone."""
        there = await self._chunks.entries(store.key)
        held.forget(held.keys.keys() - there)
        new = there - held.keys.keys()
        rows = self._all(store.key) if not held.keys else self._of(sorted(new))
        async for some in rows:
            await asyncio.to_thread(held.add, [row for row in some if row.entry in new])
        held.version = store.version

    async def _all(self, store: int) -> AsyncIterator[Sequence[ChunkVectors]]:
        after = 0
        while some := await self._chunks.vectors(store, after, _ROWS):
            yield some
            after = some[-1].key

    async def _of(self, entries: Sequence[int]) -> AsyncIterator[Sequence[ChunkVectors]]:
        for first in range(0, len(entries), AT_ONCE):
            after = 0
            while some := await self._chunks.vectors_of(entries[first : first + AT_ONCE], after, _ROWS):
                yield some
                after = some[-1].key

    def _make_room(self, kept: int) -> None:
        for key in list(self._held):
            if self.nbytes <= self._most:
                return
            if key != kept and not self._held[key].lock.locked():
                del self._held[key]


class StoreTable:
    """The table of one store, and which chunks are whose."""

    def __init__(self, most_bytes: int) -> None:
        """With more bytes than that it holds signs."""
        self._most = most_bytes
        self.lock = asyncio.Lock()
        self.vectors = VectorTable(1)
        self.version = -1
        self.keys: dict[int, list[NDArray[np.int64]]] = {}
        """Of chunks, by their entries."""
        self._made_with: tuple[str, int | None] | None = None

    @property
    def has_signs(self) -> bool:
        return isinstance(self.vectors, SignTable)

    def of(self, entries: set[int]) -> Keys | None:
        """The keys of all chunks of these entries; None: there are no others."""
        if self.keys.keys() <= entries:
            return None
        parts = [part for entry in self.keys.keys() & entries for part in self.keys[entry]]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def fits(self, store: Searched) -> bool:
        """Whether it has vectors of the same embedder."""
        return self._made_with == (store.embedder, store.dimension)

    def start(self, store: Searched) -> None:
        self.vectors = VectorTable(store.dimension or 1)
        self.version = -1
        self.keys = {}
        self._made_with = store.embedder, store.dimension

    def forget(self, entries: set[int]) -> None:
        keys = [key for entry in entries for part in self.keys.pop(entry) for key in part.tolist()]
        if keys:
            self.vectors.delete(keys)

    def add(self, rows: Sequence[ChunkVectors]) -> None:
        if not rows:
            return
        keys = append(self.vectors, (self._made_with or ("", 1))[1] or 1, rows)
        if self.vectors.nbytes > self._most and not self.has_signs:
            self.vectors = SignTable.of(self.vectors)
        owners = np.array([row.entry for row in rows], np.int64)
        for entry in np.unique(owners):
            self.keys.setdefault(int(entry), []).append(keys[owners == entry])


def append(table: VectorTable, dimension: int, rows: Sequence[ChunkVectors]) -> Keys:
    """Add the vectors of chunks. Gives the keys of the chunks."""
    counts = [len(row.vectors) // dimension for row in rows]
    keys = np.array([row.key for row in rows], np.int64)
    table.append(np.repeat(keys, counts), from_bytes(b"".join(row.vectors for row in rows), dimension))
    return keys
