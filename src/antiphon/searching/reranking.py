"""The best results of a search, as a reranker has them."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from antiphon.retrieval.finder import Query
from antiphon.retrieval.ranking import best
from antiphon.retrieval.reranker import RerankerError, Reranking
from antiphon.store.vector_chunks import VectorChunks

log = structlog.get_logger()

Ranked = Sequence[tuple[int, float]]
"""Keys of chunks with their scores, the best first."""


async def reranked(ranked: Ranked, query: Query, how: Reranking, chunks: VectorChunks) -> Ranked:
    """The candidates, with its scores: those of the others would mean something else. All as they were where
    it does not answer: a search is never lost to it."""
    keys = [key for key, _ in ranked[: max(how.candidates, 2 * query.most)]]
    texts = {key: text[: how.characters] for key, text in (await chunks.own_texts(keys)).items()}
    if not texts:
        return ranked
    tasks: list[asyncio.Task[Mapping[int, float]]] = []
    try:
        async with asyncio.timeout(how.seconds), asyncio.TaskGroup() as group:
            tasks = [group.create_task(_scores(question, texts, how)) for question in query.texts]
    except* RerankerError as faults:
        log.warning("results were not reranked", reason=str(faults.exceptions[0]))
    except* TimeoutError:
        log.warning("results were not reranked", reason=f"no answer within {how.seconds:g} seconds")
    else:
        return best(list(task.result().items()) for task in tasks)
    return ranked


async def _scores(question: str, texts: Mapping[int, str], how: Reranking) -> Mapping[int, float]:
    scores = await how.reranker.scores(question, list(texts.values()))
    return dict(zip(texts, scores, strict=True))
