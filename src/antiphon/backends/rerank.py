"""A reranker behind HTTP: any server that has `/v1/rerank`, as Jina, Cohere, vLLM and llama.cpp do, or the
`/rerank` of Text Embeddings Inference."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct
from yarl import URL

from antiphon.backends.model_server import ModelServer, ServerFault
from antiphon.retrieval.reranker import RerankerError

Api = Literal["rerank", "tei"]

_AT_ONCE = 128
"""Texts of one request: TEI takes 32 by default, Jina 2,048, Cohere 10,000."""


class _Ranked(Struct):
    index: int
    score: float = msgspec.field(name="relevance_score")


class _Answer(Struct):
    results: list[_Ranked]


class _TeiRanked(Struct):
    index: int
    score: float


class RemoteReranker:
    """A `Reranker` at `base_url` (with its `/v1`, where it has one).

    Some servers answer with probabilities and some with logits: llama.cpp does the latter for most models. A
    server that ever gave a number that is no probability is one of these, and all of its numbers are turned
    into probabilities."""

    def __init__(
        self, base_url: str, model: str | None = None, api_key: str | None = None, api: Api = "rerank"
    ) -> None:
        self._model = model
        self._api = api
        url = URL(base_url.rstrip("/")) / "rerank"
        self._server = ModelServer("reranker", "reranker", url, api_key, _AT_ONCE)
        self._logits = False

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        async def ask(some: Sequence[str]) -> list[float]:
            return self._read(await self._server.post(self._body(question, some)), len(some))

        try:
            scores = await self._server.in_batches(texts, ask)
        except ServerFault as fault:
            raise RerankerError(str(fault)) from fault
        self._logits = self._logits or any(not 0 <= score <= 1 for score in scores)
        return [_probability(score) for score in scores] if self._logits else scores

    async def close(self) -> None:
        await self._server.close()

    def _body(self, question: str, texts: Sequence[str]) -> bytes:
        if self._api == "tei":
            return msgspec.json.encode({"query": question, "texts": texts, "truncate": True})
        body: dict[str, Any] = {"query": question, "documents": texts, "top_n": len(texts)}
        return msgspec.json.encode(body if self._model is None else {"model": self._model} | body)

    def _read(self, body: bytes, count: int) -> list[float]:
        """A score for each text, in their order."""
        try:
            if self._api == "tei":
                ranked = {one.index: one.score for one in msgspec.json.decode(body, type=list[_TeiRanked])}
            else:
                ranked = {one.index: one.score for one in msgspec.json.decode(body, type=_Answer).results}
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            raise RerankerError(f"{self._server.name} answered with no scores: {fault}.") from None
        if ranked.keys() != set(range(count)):
            raise RerankerError(f"{self._server.name} answered {count} texts with {len(ranked)} scores.")
        return [ranked[index] for index in range(count)]


def _probability(logit: float) -> float:
    return 1 / (1 + math.exp(-min(max(logit, -500.0), 500.0)))
