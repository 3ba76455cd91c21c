"""The store that the settings name, for a command that asks it something."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from antiphon import config, serving

if TYPE_CHECKING:
    from antiphon.store.store import Store

T = TypeVar("T")


def with_store(settings: config.Config, ask: "Callable[[Store], Awaitable[T]]") -> T:
    """Raises ServeError when it cannot be opened."""
    from antiphon.store.open import open_store

    async def asked() -> T:
        with serving.data_in_words(settings):
            store = await open_store(settings.store_url, listen_url=settings.store.listen_url)
        try:
            return await ask(store)
        finally:
            await store.close()

    return asyncio.run(asked())
