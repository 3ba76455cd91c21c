"""Each test runs on every home of the store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.store.contract.homes import HOMES, Home
from tests.store.contract.kit import Clock

from antiphon.store.store import Store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=HOMES)
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Home:
    return HOMES[request.param](tmp_path)


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
