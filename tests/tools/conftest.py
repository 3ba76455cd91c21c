"""What tests of several tools start from."""

from collections.abc import Iterator

import pytest
from tests.api.asking import Json
from tests.conftest import Running, checked_client
from tests.tools.libraries import FILES, shelve


@pytest.fixture(scope="module")
def store(server: Running) -> Iterator[str]:
    """The id of a vector store with two short files."""
    with checked_client(server.url) as client:
        yield shelve(client, FILES)


@pytest.fixture
def tool(store: str) -> Json:
    """`file_search` in that store; tests of another tool have their own."""
    return {"type": "file_search", "vector_store_ids": [store]}
