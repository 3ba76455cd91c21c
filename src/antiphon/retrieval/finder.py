"""Searches of stores: what a question finds in them, whoever asks it (the tool, or the API)."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from antiphon.retrieval.filters import Filter, Value

Ranker = Literal["auto", "none"]
"""`none`: by meaning alone."""


class FinderError(Exception):
    """A search is not possible; the message says why and what to do."""


class NoSuchStore(FinderError):
    """The project has no such store."""

    def __init__(self, store_id: str) -> None:
        super().__init__(f"Vector store with id [{store_id}] not found.")
        self.store_id = store_id


class StoreExpired(FinderError):
    """It was not used for as long as it was to be kept."""

    def __init__(self, store_id: str) -> None:
        super().__init__(f"Vector store '{store_id}' has expired")
        self.store_id = store_id


class WrongEmbedder(FinderError):
    """Its vectors are another embedder's, and cannot be compared with those of this one."""

    def __init__(self, store_id: str, made_with: str, embedder: str) -> None:
        super().__init__(
            f"Vector store '{store_id}' was made with the embedder '{made_with}', and this server embeds "
            f"with '{embedder}' ([embeddings] in its configuration). `antiphon files reindex` makes the "
            "vectors anew."
        )
        self.store_id = store_id


class Found(Struct, frozen=True, kw_only=True):
    """A part of a file that answers."""

    file_id: str
    filename: str
    score: float
    """From 0 to 1, with 4 decimals."""
    attributes: Mapping[str, Value]
    text: str
    store_id: str


class Query(Struct, frozen=True, kw_only=True):
    """What is looked for."""

    texts: Sequence[str]
    """Questions, at least one: what any of them finds is found."""
    filters: Filter | None = None
    """Which files are searched, by their attributes; `tools.search_filters` makes it of a request's."""
    most: int = 10
    """Results."""
    ranker: Ranker = "auto"
    threshold: float = 0.0
    """The least score of a result."""
    embedding_weight: float | None = None
    text_weight: float | None = None
    """How much meaning and words count: both or none, and one of them above 0."""


class Finder(Protocol):
    """Searches the stores of projects."""

    async def check(self, project: str, store_ids: Sequence[str]) -> None:
        """Raises NoSuchStore, StoreExpired or WrongEmbedder, as `find` would, without a search."""

    async def find(self, project: str, store_ids: Sequence[str], query: Query) -> Sequence[Found]:
        """What all of these stores have, the best first. They count as used now. Raises NoSuchStore,
        StoreExpired or WrongEmbedder; EmbedderError when the question cannot be embedded; FilterTooLarge."""
