"""A search: questions in, the keys of chunks with their scores out."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from antiphon.retrieval.embedder import Vectors
from antiphon.retrieval.lexical import Expression, expression
from antiphon.retrieval.ranking import DEFAULT, DEPTH, Weights, best, scored
from antiphon.retrieval.vectors import VectorTable

Keys: TypeAlias = NDArray[np.int64]
"""Of chunks."""

Embed: TypeAlias = Callable[[Sequence[str]], Awaitable[Vectors]]
"""As `Embedder.embed`; for several stores the same questions are embedded once."""

WordSearch: TypeAlias = Callable[[Expression, int], Awaitable[Mapping[int, float]]]
"""Carries out `lexical.COUNT` for each term, and `lexical.SEARCH` for what of them is affordable: the best
keys with their bm25, and no more than so many. Where only some chunks are allowed it looks only among them:
others would take their places."""

Exactly: TypeAlias = Callable[[Sequence[int]], Awaitable[VectorTable]]
"""Of some chunks, whose keys are given: the vectors themselves, where a table has their signs alone."""

_LIKELY = 30
"""So many times as many chunks are chosen by their signs as are wanted. Of the nearest 100 of 100,000 chunks,
99 are among them."""
_SMALL = 10_000
"""Vectors that are looked at on the event loop, in less than a millisecond; more are in a thread."""


class Search:
    """Over the chunks of one store."""

    def __init__(
        self, embed: Embed, vectors: VectorTable, words: WordSearch, exactly: Exactly | None = None
    ) -> None:
        """`exactly`: where `vectors` are signs."""
        self._exactly = exactly
        self._embed = embed
        self._vectors = vectors
        self._words = words

    async def ranked(
        self,
        questions: Sequence[str],
        count: int,
        weights: Weights = DEFAULT,
        allowed: Keys | None = None,
    ) -> list[tuple[int, float]]:
        """Keys of chunks with their scores, the best first: at least `count` if there are as many, and more
        where neighbours may still be merged. `allowed`: only these. Raises EmbedderError."""
        depth = max(DEPTH, 2 * count)
        near = await self._near(questions, depth, weights, allowed)
        said = [await self._said(question, depth, weights, allowed) for question in questions]
        return best(scored(cosines, words, weights) for cosines, words in zip(near, said, strict=True))

    async def _near(
        self, questions: Sequence[str], depth: int, weights: Weights, allowed: Keys | None
    ) -> list[Mapping[int, float]]:
        if not weights.embedding or not len(self._vectors):
            return [{} for _ in questions]
        asked = await self._embed(questions)
        if self._exactly is None:
            return await _looked_up(self._vectors, asked, depth, allowed)
        likely = await _looked_up(self._vectors, asked, _LIKELY * depth, allowed)
        vectors = await self._exactly(sorted({key for keys in likely for key in keys}))
        return await _looked_up(vectors, asked, depth, None)

    async def _said(
        self, question: str, depth: int, weights: Weights, allowed: Keys | None
    ) -> Mapping[int, float]:
        wanted = expression(question) if weights.text else None
        if wanted is None:
            return {}
        found = await self._words(wanted, depth)
        known = found if allowed is None else _among(found, allowed)
        return {key: wanted.share(found[key]) for key in known}


async def _looked_up(
    vectors: VectorTable, asked: Vectors, count: int, allowed: Keys | None
) -> list[Mapping[int, float]]:
    def find() -> list[Mapping[int, float]]:
        found = (vectors.nearest(one, count, allowed) for one in asked)
        return [{near.key: near.cosine for near in nearest} for nearest in found]

    return find() if len(vectors) < _SMALL else await asyncio.to_thread(find)


def _among(found: Mapping[int, float], allowed: Keys) -> list[int]:
    keys = np.fromiter(found, np.int64, len(found))
    return list(keys[np.isin(keys, allowed)].tolist())
