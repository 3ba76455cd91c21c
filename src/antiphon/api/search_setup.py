"""What searches of files are made of, as the configuration says."""

import os
from importlib.util import find_spec

from antiphon.backends.embeddings import RemoteEmbedder
from antiphon.config.settings import Embeddings
from antiphon.retrieval import minilm
from antiphon.retrieval.embedder import Embedder


def can_embed(settings: Embeddings) -> bool:
    """Whether all that searches need is installed."""
    return minilm.installed() if settings.base_url is None else find_spec("numpy") is not None


def embedder_of(settings: Embeddings) -> Embedder:
    """What turns texts into vectors, with its key read from the environment."""
    if settings.base_url is None or settings.model is None:
        return minilm.MiniLM()
    key = os.environ.get(settings.api_key_env) if settings.api_key_env else None
    return RemoteEmbedder(settings.base_url, settings.model, key)
