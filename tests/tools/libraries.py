"""Stores of files that tests search."""

from collections.abc import Mapping
from typing import Any

from openai import OpenAI

FILES = {
    "boats.md": "Boats float because they are lighter than the water which they push away.",
    "ducks.md": "Ducks float because of the oil on their feathers, which keeps the water out.",
}


def shelve(
    client: OpenAI, files: Mapping[str, str], attributes: Mapping[str, Mapping[str, Any]] | None = None
) -> str:
    """Puts texts, by their names, into a new store. Gives its id when all of them can be found."""
    store = client.vector_stores.create(name="Library")
    for name, text in files.items():
        file = client.files.create(file=(name, text.encode()), purpose="assistants")
        given = dict((attributes or {}).get(name, {}))
        client.vector_stores.files.create(store.id, file_id=file.id, attributes=given)
    while (found := client.vector_stores.retrieve(store.id)).file_counts.in_progress:
        continue
    assert found.file_counts.completed == len(files)
    return store.id
