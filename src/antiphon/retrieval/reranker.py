"""What looks at the best results of a search again, each together with the question."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class RerankerError(Exception):
    """Nothing was ranked; the message says why and what to do."""


class Reranker(Protocol):
    """It reads question and text at once, which tells more than two vectors do, and costs a call of a model
    for each text."""

    async def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """How well each text answers, from 0 to 1. Raises RerankerError."""

    async def close(self) -> None: ...


class Reranking(Struct, frozen=True, kw_only=True):
    """A reranker, and what it is asked to look at."""

    reranker: Reranker
    candidates: int = 50
    """Chunks that it looks at: the best, and at least twice as many as there are to be results, since those
    that overlap become one."""
    characters: int = 2_000
    """Of each chunk. Servers refuse what is longer than their model reads."""
    seconds: float = 5.0
    """After which results stay as they were."""
