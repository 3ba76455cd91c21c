"""An installation as commands open it: its store, its files, and what searches and indexes them.

A server may run on the same data at the same time. Both take what is to be indexed from one queue, so it is
done once, whoever does it.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from antiphon import config, serving
from antiphon.api.search_setup import embedder_of, reranking_of
from antiphon.cli.options import fail
from antiphon.cli.stores import opened, with_store
from antiphon.engine.jobs import Jobs
from antiphon.retrieval.documents import Documents
from antiphon.retrieval.embedder import Embedder
from antiphon.searching.finder import StoreFinder
from antiphon.searching.indexer import Indexer
from antiphon.store.blobs import Blobs
from antiphon.store.errors import Expired, StoreError, TooManyFiles, TooMuchStored
from antiphon.store.faults import Unreachable
from antiphon.store.file_storage import FileStorage
from antiphon.store.open_blobs import open_blobs
from antiphon.store.paging import PageQuery
from antiphon.store.store import Store
from antiphon.store.vector_stores import StoreRow

T = TypeVar("T")

_PAGE = 100


class Installation:
    """What is kept, and what works on it."""

    def __init__(self, settings: config.Config, store: Store, blobs: Blobs) -> None:
        self.settings = settings
        self.store = store
        self.files = FileStorage(store.files, blobs)
        self.embedder: Embedder = embedder_of(settings.embeddings)
        self.reranking = reranking_of(settings.reranker)
        cache_bytes = settings.tools.file_search.cache_bytes
        self.finder = StoreFinder(store, self.embedder, cache_bytes, self.reranking)
        self.jobs = Jobs(store.work, Indexer(store, self.files, Documents(), self.embedder).handlers)

    async def stores(self, project: str) -> Sequence[StoreRow]:
        """All of the project's, the newest first."""
        rows: list[StoreRow] = []
        while True:
            query = PageQuery(limit=_PAGE, after=rows[-1].id if rows else None)
            page = await self.store.vector_stores.page(project, query)
            rows += page.rows
            if not page.more:
                return rows

    async def named(self, project: str, name: str) -> StoreRow | None:
        """The store with this id, or the one with this name. Fails when there are several."""
        rows = await self.stores(project)
        same = [row for row in rows if row.id == name] or [row for row in rows if row.name == name]
        if len(same) > 1:
            listed = ", ".join(row.id for row in same)
            fail(f"There are {len(same)} stores of the name '{name}': {listed}. Give the id of one.")
        return same[0] if same else None

    async def one(self, project: str, name: str) -> StoreRow:
        """As `named`. Fails when there is none."""
        row = await self.named(project, name)
        if row is None:
            names = ", ".join(sorted({each.name or each.id for each in await self.stores(project)}))
            fail(f"There is no store '{name}' in the project '{project}'. There are: {names or 'none'}.")
        return row


def run(settings: config.Config, command: Callable[[Installation], Awaitable[T]]) -> T:
    """Carries out a command on the installation that the settings name. What can go wrong is one sentence."""

    async def carried_out() -> T:
        async with _opened(settings) as installation:
            return await command(installation)

    with _in_words(settings):
        return asyncio.run(carried_out())


def project_of(settings: config.Config, given: str | None) -> str:
    """Whose files they are. Fails when that cannot be known."""
    known = _configured(settings)
    if given is None and len(known) > 1:
        fail(f"Whose files? Say --project with one of {', '.join(known)}.")
    if given is not None and given not in known and given not in projects_of(settings):
        fail(f"No key is of the project '{given}'. There are: {', '.join(projects_of(settings))}.")
    return given or known[0]


def projects_of(settings: config.Config) -> Sequence[str]:
    """All that there are: of keys that were made at run time too."""
    with _in_words(settings):
        made = with_store(settings, lambda store: store.keys.newest(None))
    return list(dict.fromkeys([*_configured(settings), *(row.project for row in made)]))


def _configured(settings: config.Config) -> Sequence[str]:
    return list(dict.fromkeys(settings.projects_by_key().values())) or ["default"]


@contextlib.asynccontextmanager
async def _opened(settings: config.Config) -> AsyncIterator[Installation]:
    with serving.data_in_words(settings):
        blobs = open_blobs(settings.blobs.url, Path(settings.data_dir))
    async with opened(settings) as store:
        installation = Installation(settings, store, blobs)
        try:
            if settings.limits.stored_bytes is not None:  # a server may run that has a bound: it counts on
                await store.usage.bound(settings.limits.stored_bytes)
            yield installation
        finally:
            await installation.embedder.close()
            if installation.reranking is not None:
                await installation.reranking.reranker.close()


@contextlib.contextmanager
def _in_words(settings: config.Config) -> Iterator[None]:
    try:
        yield
    except StoreError as error:
        fail(_said(error))
    except (sqlite3.Error, OSError, Unreachable) as error:
        reason = getattr(error, "strerror", None) or str(error)
        fail(f"It could not be done: {reason}. The data is in {settings.data_dir}.")


def _said(error: StoreError) -> str:
    match error:
        case TooMuchStored():
            return (
                f"The project keeps {error.stored} bytes, and may keep {error.most} (stored_bytes of "
                "[limits]): nothing more is added."
            )
        case TooManyFiles():
            return f"A store has at most {error.most} files: nothing more is added."
        case Expired():
            return "The store has expired: delete it, or give another name."
        case _:
            return f"The store changed meanwhile ({error}). Try again."
