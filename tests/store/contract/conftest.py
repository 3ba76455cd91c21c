"""Each test runs on every home of the store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.store.contract.blob_homes import BLOB_HOMES, BlobHome
from tests.store.contract.homes import HOMES, Home
from tests.store.contract.kit import Clock

from antiphon.store.blobs import Blobs
from antiphon.store.store import Store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=HOMES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    return HOMES[request.param](tmp_path)


@pytest.fixture(params=BLOB_HOMES)
def blob_home(request: pytest.FixtureRequest, tmp_path: Path) -> BlobHome:
    return BLOB_HOMES[request.param](tmp_path)


@pytest.fixture
def blobs(blob_home: BlobHome) -> Blobs:
    return blob_home.open()


@pytest.fixture
async def store(home: Home, clock: Clock) -> AsyncIterator[Store]:
    store = await home.open(clock)
    yield store
    await store.close()


@pytest.fixture
async def other(store: Store, home: Home, clock: Clock) -> AsyncIterator[Store]:
    """The same, as another process has it."""
    other = await home.open(clock)
    yield other
    await other.close()
