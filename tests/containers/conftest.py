"""The room over a real store and a driver of real processes."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.containers.plain_driver import PlainDriver
from tests.store.contract.blob_homes import BLOB_HOMES, BlobHome
from tests.store.contract.homes import Home, SqliteHome

from antiphon.containers.room import Room
from antiphon.containers.rules import Rules
from antiphon.store.container_storage import ContainerStorage

OpenRoom = Callable[..., AbstractAsyncContextManager[Room]]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Where the store is."""
    return SqliteHome(tmp_path)


@pytest.fixture(params=BLOB_HOMES)
def blob_home(request: pytest.FixtureRequest, tmp_path: Path) -> BlobHome:
    """Where the blobs are."""
    return BLOB_HOMES[request.param](tmp_path)


@pytest.fixture
def open_room(home: Home, blob_home: BlobHome, tmp_path: Path) -> OpenRoom:
    """A room as one server process has it, all over one store; `rules` are its own. With
    `sockets` they find each other."""

    @asynccontextmanager
    async def open_one(name: str = "one", sockets: Path | None = None, **rules: Any) -> AsyncIterator[Room]:
        store = await home.open(time.time)
        await store.usage.bound(50_000_000)
        driver = PlainDriver(tmp_path / name)
        room = Room(ContainerStorage(store, blob_home.open()), driver, Rules(**rules))
        try:
            async with room.running(sockets):
                yield room
        finally:
            await store.close()

    return open_one


@pytest.fixture
async def room(open_room: OpenRoom) -> AsyncIterator[Room]:
    async with open_room() as room:
        yield room
