"""What searches of files are made of, as the configuration says."""

import os

from antiphon.api.surroundings import secret
from antiphon.backends.embeddings import RemoteEmbedder
from antiphon.backends.rerank import RemoteReranker
from antiphon.config.model_settings import Embeddings, Reranker
from antiphon.retrieval import minilm
from antiphon.retrieval.embedder import Embedder, lacking
from antiphon.retrieval.reranker import Reranking


def can_embed(settings: Embeddings) -> bool:
    """Whether all that searches need is installed."""
    return lacking() is None and (settings.base_url is not None or minilm.installed())


def embedder_of(settings: Embeddings) -> Embedder:
    """What turns texts into vectors, with its key read from the environment."""
    if settings.base_url is None or settings.model is None:
        return minilm.MiniLM(settings.threads or _threads())
    return RemoteEmbedder(settings.base_url, settings.model, secret(settings.api_key_env))


def reranking_of(settings: Reranker) -> Reranking | None:
    """What looks at results again, with its key read from the environment."""
    if settings.base_url is None:
        return None
    key = secret(settings.api_key_env)
    return Reranking(
        reranker=RemoteReranker(settings.base_url, settings.model, key, settings.api),
        candidates=settings.candidates,
        characters=settings.characters,
        seconds=settings.seconds,
    )


def _threads() -> int:
    """Of the embedded embedder: the server and its models have work to do as well."""
    return min(max((os.cpu_count() or 1) // 2, 1), 4)
