"""Searches in vector stores (`retrieval/finder.py` has their face)."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from heapq import merge
from importlib import import_module
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from antiphon.retrieval import ranking
from antiphon.retrieval.embedder import Embedder, Vectors, check_installed
from antiphon.retrieval.finder import Found, NoSuchStore, Query, StoreExpired, WrongEmbedder
from antiphon.retrieval.lexical import Expression
from antiphon.retrieval.ranking import DEFAULT, DENSE, Weights, merged
from antiphon.retrieval.reranker import Reranking
from antiphon.searching.reranking import Ranked, reranked
from antiphon.store.store import Store
from antiphon.store.vector_chunks import FoundChunk, store_of
from antiphon.store.vector_stores import Searched

if TYPE_CHECKING:
    from antiphon.retrieval.search import Embed
    from antiphon.searching.tables import Tables

MOST_CHARACTERS = 16_384
"""Of a question: neither embedder nor words look at what comes behind them."""


class StoreFinder:
    """A `Finder` over the store. `cache_bytes`: of vectors that are kept in memory."""

    def __init__(
        self, store: Store, embedder: Embedder, cache_bytes: int, reranking: Reranking | None = None
    ) -> None:
        self._stores = store.vector_stores
        self._chunks = store.vector_chunks
        self._embedder = embedder
        self._cache_bytes = cache_bytes
        self._reranking = reranking
        self._made: Tables | None = None

    async def check(self, project: str, store_ids: Sequence[str]) -> None:
        for store_id in store_ids:
            await self._opened(project, store_id)

    async def find(self, project: str, store_ids: Sequence[str], query: Query) -> Sequence[Found]:
        stores = [await self._opened(project, store_id) for store_id in dict.fromkeys(store_ids)]
        weights = _weights(query)
        query = replace(query, texts=[text[:MOST_CHARACTERS] for text in query.texts])
        filled = [store for store in stores if store.dimension]
        if filled:
            check_installed()
        embed: Embed = self._embedder.embed
        if filled and weights.embedding:
            embed = _given(await embed(query.texts))
        lists = [await self._ranked(project, store, query, weights, embed) for store in filled]
        for store in stores:
            self._stores.used(store)
        ranked: Ranked = list(merge(*lists, key=lambda pair: (-pair[1], pair[0])))
        if self._reranking is not None and query.ranker != "none":
            ranked = await reranked(ranked, query, self._reranking, self._chunks)
        return await self._results(ranked, {store.key: store.id for store in filled}, query)

    async def _opened(self, project: str, store_id: str) -> Searched:
        store = await self._stores.searched(project, store_id)
        if store is None:
            raise NoSuchStore(store_id)
        if store.is_over:
            raise StoreExpired(store_id)
        if store.dimension is not None and store.embedder != self._embedder.name:
            raise WrongEmbedder(store_id, store.embedder, self._embedder.name)
        return store

    async def _ranked(
        self, project: str, store: Searched, query: Query, weights: Weights, embed: "Embed"
    ) -> Ranked:
        from antiphon.retrieval.search import Search

        tables = await self._tables()
        table = await tables.table(store)
        allowed, entries = None, None
        if query.filters is not None:
            fitting = await self._chunks.fitting(store.key, query.filters)
            if not fitting:
                return []
            allowed = await asyncio.to_thread(table.of, fitting)
            entries = sorted(fitting)
        said = partial(self._said, project, store.key, entries)
        exactly = partial(tables.exactly, store) if table.has_signs else None
        search = Search(embed, table.vectors, said, exactly)
        return await search.ranked(query.texts, query.most, weights, allowed)

    async def _tables(self) -> "Tables":
        """Made at the first search: what it stands on takes a tenth of a second to be loaded."""
        if self._made is None:
            await asyncio.to_thread(import_module, "antiphon.searching.tables")
            from antiphon.searching.tables import Tables

            self._made = Tables(self._chunks, self._cache_bytes)
        return self._made

    async def _said(
        self, project: str, store: int, entries: Sequence[int] | None, expression: Expression, count: int
    ) -> Mapping[int, float]:
        return await self._chunks.said(project, store, expression, count, entries)

    async def _results(self, ranked: Ranked, stores: Mapping[int, str], query: Query) -> list[Found]:
        """Texts are read of as many as may be needed: what overlaps becomes one result."""
        taken = 2 * query.most + 8
        while True:
            texts = await self._chunks.texts([key for key, _ in ranked[:taken]])
            parts = [_part(texts[key], score) for key, score in ranked[:taken] if key in texts]
            results = merged(parts, query.most, query.threshold)
            if len(results) == query.most or taken >= len(ranked) or ranked[taken][1] < query.threshold:
                break
            taken *= 2
        files = {chunk.entry: chunk for chunk in texts.values()}
        return [_found(part, files[int(part.file)], stores) for part in results]


def _given(vectors: Vectors) -> "Embed":
    """Questions that are embedded already, once for all stores."""

    async def embed(_: Sequence[str]) -> Vectors:
        return vectors

    return embed


def _weights(query: Query) -> Weights:
    if query.ranker == "none":
        return DENSE
    if query.embedding_weight is None or query.text_weight is None:
        return DEFAULT
    return Weights(query.embedding_weight, query.text_weight)


def _part(chunk: FoundChunk, score: float) -> ranking.Found:
    end = chunk.start + len(chunk.text)
    return ranking.Found(str(chunk.entry), chunk.start, end, chunk.text, score)


def _found(part: ranking.Found, file: FoundChunk, stores: Mapping[int, str]) -> Found:
    return Found(
        file_id=file.file_id,
        filename=file.filename,
        score=round(part.score, 4),
        attributes=msgspec.json.decode(file.attributes),
        text=part.text,
        store_id=stores[store_of(file.key)],
    )
