"""The room over a real store and a driver of real processes."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.containers.plain_driver import PlainDriver

from antiphon.containers.room import Room
from antiphon.containers.rules import Rules
from antiphon.store.container_storage import ContainerStorage
from antiphon.store.folder_blobs import FolderBlobs
from antiphon.store.sqlite.database import open_sqlite

OpenRoom = Callable[..., AbstractAsyncContextManager[Room]]


@pytest.fixture
def open_room(tmp_path: Path) -> OpenRoom:
    """A room as one server process has it, all over one store; `rules` are its own. With
    `sockets` they find each other."""

    @asynccontextmanager
    async def open_one(name: str = "one", sockets: Path | None = None, **rules: Any) -> AsyncIterator[Room]:
        store = await open_sqlite(tmp_path / "antiphon.db")
        await store.usage.bound(50_000_000)
        driver = PlainDriver(tmp_path / name)
        room = Room(ContainerStorage(store, FolderBlobs(tmp_path / "files")), driver, Rules(**rules))
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
