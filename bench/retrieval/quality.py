"""Whether the passage that answers is among the first results."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from msgspec import Struct

from antiphon.retrieval.embedder import Vectors
from antiphon.retrieval.ranking import DEPTH, Weights, scored
from antiphon.retrieval.reranker import Reranker, Reranking
from bench.retrieval.dataset import Question
from bench.retrieval.index import Index

_LOOKED_AT = 20
"""Results: as many as `file_search` gives. An answer behind them counts as not found."""

Ranking = Callable[[Mapping[int, float], Mapping[int, float]], Sequence[int]]
"""Keys in their order, from cosines and from scores of words."""


class Figures(Struct, frozen=True):
    at_1: float
    at_5: float
    mrr: float
    count: int

    def __str__(self) -> str:
        return f"{self.at_1:.3f} {self.at_5:.3f} {self.mrr:.3f}"


def figures(ranks: Iterable[int | None]) -> Figures:
    """Of the ranks of answers, 1 for the first result."""
    known = [rank if rank and rank <= _LOOKED_AT else 0 for rank in ranks]
    inverse = [1 / rank if rank else 0.0 for rank in known]
    at_1, at_5 = (sum(1 <= rank <= most for rank in known) for most in (1, 5))
    count = max(1, len(known))
    return Figures(at_1 / count, at_5 / count, sum(inverse) / count, len(known))


class Asked:
    """All questions, with what each list found for them and which chunks answer."""

    def __init__(
        self, index: Index, questions: Sequence[Question], texts: Sequence[str], vectors: Vectors
    ) -> None:
        """`texts`: how each question is put; `vectors`: those of the texts."""
        self.questions = questions
        self._answers = [index.answering(question.passage) for question in questions]
        self._near = [
            {near.key: near.cosine for near in index.vectors.nearest(vector, DEPTH)} for vector in vectors
        ]
        self._said = [index.words.asked(text) for text in texts]
        self._index = index

    def ranks(self, ranking: Ranking) -> list[int | None]:
        found = enumerate(zip(self._near, self._said, strict=True))
        return [self.rank(place, ranking(near, said)) for place, (near, said) in found]

    def rank(self, place: int, keys: Sequence[int]) -> int | None:
        """Of the first that answers a question."""
        answers = self._answers[place]
        return next((rank for rank, key in enumerate(keys, 1) if key in answers), None)

    def best(self, place: int) -> list[int]:
        """What a question finds, as Antiphon ranks."""
        return [key for key, _ in scored(self._near[place], self._said[place], Weights())]

    def shown(self, keys: Sequence[int]) -> list[str]:
        """What a reranker reads of them."""
        return [f"{self._index.abouts[key]}\n{self._index.chunks[key].own}" for key in keys]

    def cosines(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """Of the best chunk that answers each question, where it was found."""
        best = (
            max((near[key] for key in answers if key in near), default=np.nan)
            for near, answers in zip(self._near, self._answers, strict=True)
        )
        return np.fromiter(best, np.float64)


async def reranked(answers: Asked, texts: Sequence[str], reranker: Reranker) -> list[int | None]:
    """Ranks of the answers, where a reranker looks at the best results of each question."""
    how = Reranking(reranker=reranker)
    try:
        return [await _reranked(answers, place, text, how) for place, text in enumerate(texts)]
    finally:
        await reranker.close()


async def _reranked(answers: Asked, place: int, question: str, how: Reranking) -> int | None:
    keys = answers.best(place)[: how.candidates]
    texts = [text[: how.characters] for text in answers.shown(keys)]
    scores = await how.reranker.scores(question, texts)
    ranked = sorted(zip(keys, scores, strict=True), key=lambda pair: -pair[1])
    return answers.rank(place, [key for key, _ in ranked])


def weighted(weights: Weights) -> Ranking:
    """By scores, as Antiphon ranks."""
    return lambda near, said: [key for key, _ in scored(near, said, weights)]


def by_ranks(embedding: float, text: float, k: int = 60) -> Ranking:
    """Reciprocal rank fusion, to compare with."""

    def ranked(near: Mapping[int, float], said: Mapping[int, float]) -> Sequence[int]:
        scores: dict[int, float] = {}
        for found, weight in ((near, embedding), (said, text)):
            for rank, key in enumerate(sorted(found, key=lambda key: -found[key]), 1):
                scores[key] = scores.get(key, 0.0) + weight / (k + rank)
        return sorted(scores, key=lambda key: -scores[key])

    return ranked
