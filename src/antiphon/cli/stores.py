"""The store that the settings name, for a command that asks it something."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from antiphon import config, serving

if TYPE_CHECKING:
    from antiphon.store.blobs import Blobs
    from antiphon.store.store import Store

T = TypeVar("T")


@asynccontextmanager
async def opened(settings: config.Config, blobs: "Blobs | None" = None) -> "AsyncIterator[Store]":
    """`blobs`: as `Store` has them. Raises ServeError when it cannot be opened."""
    from antiphon.store.open import open_store

    with serving.data_in_words(settings):
        store = await open_store(settings.store_url, blobs, settings.store.listen_url)
    try:
        yield store
    finally:
        await store.close()


def with_store(settings: config.Config, ask: "Callable[[Store], Awaitable[T]]") -> T:
    """What is asked of it. Raises ServeError when it cannot be opened."""

    async def asked() -> T:
        async with opened(settings) as store:
            return await ask(store)

    return asyncio.run(asked())
