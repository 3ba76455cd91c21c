"""Databases for tests of the store."""

from collections.abc import Iterator

import pytest
from tests.postgres import shared_postgres
from tests.store.contract.homes import template


@pytest.fixture
def url() -> Iterator[str]:
    """That of an empty store in PostgreSQL, which goes with the test."""
    with shared_postgres().database(template()) as url:
        yield url
