"""Files and vector stores, for tests over the wire."""

from collections.abc import Iterable
from typing import Any

from openai import OpenAI
from openai.types import VectorStore
from tests.api.asking import Json, Like, Now

STORE_ID = Like("vs_[0-9a-f]{32}")
AUTO: Json = {"type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}}

TREES = b"# Oaks\n\nAn oak lives for a thousand years.\n\n# Birches\n\nA birch has white bark.\n"
HARBOURS = b"Ships unload their containers in the harbour of Rotterdam."


def upload(client: OpenAI, content: bytes = TREES, name: str = "trees.md") -> str:
    """The id of a file."""
    return client.files.create(file=(name, content), purpose="assistants").id


def filled(client: OpenAI, *contents: bytes) -> tuple[VectorStore, list[str]]:
    """A store with files that are indexed, and their ids."""
    ids = [upload(client, content, f"file{number}.md") for number, content in enumerate(contents)]
    store = client.vector_stores.create(name="docs")
    client.vector_stores.file_batches.create_and_poll(store.id, file_ids=ids)
    return store, ids


def counted(**members: int) -> Json:
    """Counts of files, as they go over the wire."""
    counts = {"in_progress": 0, "completed": 0, "failed": 0, "cancelled": 0} | members
    return counts | {"total": sum(counts.values())}


def stored(**members: Any) -> Json:
    """A VectorStore object, as it goes over the wire."""
    return {
        "id": STORE_ID,
        "object": "vector_store",
        "created_at": Now(),
        "name": "",
        "description": None,
        "usage_bytes": 0,
        "file_counts": counted(),
        "status": "completed",
        "expires_after": None,
        "expires_at": None,
        "last_active_at": Now(),
        "metadata": {},
    } | members


def held(file_id: str, store_id: str, **members: Any) -> Json:
    """A file object of a store, as it goes over the wire."""
    return {
        "id": file_id,
        "object": "vector_store.file",
        "usage_bytes": 0,
        "created_at": Now(),
        "vector_store_id": store_id,
        "status": "in_progress",
        "last_error": None,
        "chunking_strategy": AUTO,
        "attributes": {},
    } | members


def ids(listed: Iterable[Any]) -> list[str]:
    return [each.id for each in listed]
