"""Vector stores, as they go over the wire (endpoints.md section 4)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, UnsetType

from antiphon.protocol.file_filters import Filter
from antiphon.protocol.wire import Metadata, Wire, shown

MOST_FILES = 500
"""Files that a store is made with."""
MOST_IN_BATCH = 2000

Name = Annotated[str, Meta(max_length=256)]
Description = Annotated[str, Meta(max_length=512)]
Attributes = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)] | bool | int | float],
    Meta(max_length=16),
]


class ExpiresAfter(Wire):
    """After how long without a use a store expires."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Meta(ge=1, le=365)]


class ChunkSizes(Wire):
    max_chunk_size_tokens: Annotated[int, Meta(ge=100, le=4096)] = shown(800)
    chunk_overlap_tokens: Annotated[int, Meta(ge=0)] = shown(400)


class Chunking(Wire, tag_field="type"):
    """How a file is cut."""


class AutoChunking(Chunking, tag="auto"):
    pass


class StaticChunking(Chunking, tag="static"):
    static: ChunkSizes


ChunkingStrategy = AutoChunking | StaticChunking


class FileCounts(Wire):
    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int


class VectorStore(Wire, kw_only=True):
    """The VectorStore object."""

    id: str
    object: Literal["vector_store"] = shown("vector_store")
    created_at: int
    """Seconds since the epoch, like all times here."""
    name: str
    description: str | None = shown(None)
    usage_bytes: int
    file_counts: FileCounts
    status: Literal["expired", "in_progress", "completed"]
    expires_after: ExpiresAfter | None = shown(None)
    expires_at: int | None = shown(None)
    last_active_at: int
    metadata: msgspec.Raw


class LastError(Wire):
    code: str
    message: str


class VectorStoreFile(Wire, kw_only=True):
    """A file of a store."""

    id: str
    """The file's."""
    object: Literal["vector_store.file"] = shown("vector_store.file")
    usage_bytes: int
    created_at: int
    vector_store_id: str
    status: Literal["in_progress", "completed", "cancelled", "failed"]
    last_error: LastError | None = shown(None)
    chunking_strategy: StaticChunking
    attributes: msgspec.Raw


class FileBatch(Wire, kw_only=True):
    """Files that were put into a store together."""

    id: str
    object: Literal["vector_store.files_batch"] = shown("vector_store.files_batch")
    created_at: int
    vector_store_id: str
    status: Literal["in_progress", "completed", "cancelled", "failed"]
    file_counts: FileCounts


# ---- what is asked ----------------------------------------------------------------------------------


class CreateVectorStore(Wire):
    """The body of POST /vector_stores."""

    name: Name | None = None
    description: Description | None = None
    file_ids: Annotated[list[str], Meta(max_length=MOST_FILES)] | None = None
    chunking_strategy: ChunkingStrategy | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Metadata | None = None


class UpdateVectorStore(Wire):
    """The body of POST /vector_stores/{id}. What is left out stays."""

    name: Name | None = None
    expires_after: ExpiresAfter | UnsetType | None = msgspec.UNSET
    """null: it does not expire any more."""
    metadata: Metadata | UnsetType | None = msgspec.UNSET


class AddFile(Wire):
    """The body of POST /vector_stores/{id}/files, and a file of a batch."""

    file_id: str
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategy | None = None


class UpdateFile(Wire):
    """The body of POST /vector_stores/{id}/files/{file_id}."""

    attributes: Attributes | None


class CreateFileBatch(Wire):
    """The body of POST /vector_stores/{id}/file_batches: file_ids, which share all else that is said, or
    files."""

    file_ids: Annotated[list[str], Meta(min_length=1, max_length=MOST_IN_BATCH)] | None = None
    files: Annotated[list[AddFile], Meta(min_length=1, max_length=MOST_IN_BATCH)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: ChunkingStrategy | None = None


class SearchRanking(Wire):
    ranker: Literal["none", "auto", "default-2024-11-15"] | None = None
    score_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None


class SearchRequest(Wire):
    """The body of POST /vector_stores/{id}/search."""

    query: str | list[str]
    filters: Filter | None = None
    max_num_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    ranking_options: SearchRanking | None = None
    rewrite_query: bool | None = None


class SearchContent(Wire):
    type: Literal["text"] = shown("text")
    text: str = shown("")


class SearchResult(Wire, kw_only=True):
    file_id: str
    filename: str
    score: float
    attributes: msgspec.Raw
    content: list[SearchContent]
