"""File batches: files that were put into a vector store together."""

from collections.abc import Sequence

from msgspec import Struct

from antiphon.store import vector_chunks, vector_files
from antiphon.store.database import Database
from antiphon.store.paging import Page, PageQuery
from antiphon.store.statements import Insert, Statement, Steps, alone, one
from antiphon.store.vector_files import EntryRow, NewEntry, Status


class FileCounts(Struct, frozen=True):
    """How many files are how far."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        return self.in_progress + self.completed + self.failed + self.cancelled


class BatchRow(Struct, frozen=True):
    id: str
    created_at: int
    cancelled: bool
    counts: FileCounts


class VectorBatches:
    """Batches are found by the ids of project, store and batch. What is not there is None."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self, project: str, store_id: str, batch_id: str, entries: Sequence[NewEntry]
    ) -> BatchRow | None:
        """Raises Expired, UnknownFile, TooManyFiles."""
        return await self._database.write(
            create, project, store_id, batch_id, entries, self._database.clock()
        )

    async def get(self, project: str, store_id: str, batch_id: str) -> BatchRow | None:
        return await self._database.read_long(load, project, store_id, batch_id)

    async def cancel(self, project: str, store_id: str, batch_id: str) -> BatchRow | None:
        """What is not indexed yet will not be. A batch that has ended stays as it is."""
        return await self._database.write(cancel, project, store_id, batch_id, self._database.clock())

    async def page(
        self, project: str, store_id: str, batch_id: str, query: PageQuery, status: Status | None = None
    ) -> Page[EntryRow] | None:
        """The files of a batch, as `VectorFiles.page`."""
        return await self._database.read_long(list_entries, project, store_id, batch_id, query, status)


def create(
    project: str, store_id: str, batch_id: str, entries: Sequence[NewEntry], now: float
) -> Steps[BatchRow | None]:
    yield from alone("files", project)
    store = yield from vector_files.place(project, store_id)
    if store is None:
        return None
    store.check(store_id, now)
    values = (store.key, batch_id, int(now))
    ((key,),) = yield Insert("vector_store_batches (store, id, created_at)", (values,), key="key")
    yield from vector_files.attach(project, store_id, store.key, entries, now, key)
    return (yield from load(project, store_id, batch_id))


def load(project: str, store_id: str, batch_id: str) -> Steps[BatchRow | None]:
    found = yield from one(_one(project, store_id, batch_id))
    if found is None:
        return None
    key, created_at, cancelled = found
    sql = "SELECT status, count(*) FROM vector_store_files WHERE batch = $1 GROUP BY status"
    rows = yield Statement(sql, (key,))
    return BatchRow(batch_id, created_at, bool(cancelled), FileCounts(**dict(rows)))


def cancel(project: str, store_id: str, batch_id: str, now: float) -> Steps[BatchRow | None]:
    yield from alone("files", project)
    found = yield from one(_one(project, store_id, batch_id))
    if found is None:
        return None
    sql = """
        UPDATE vector_store_files SET status = 'cancelled', chunks = 0, usage_bytes = 0
        WHERE batch = $1 AND status = 'in_progress' RETURNING key"""
    entries = [key for (key,) in (yield Statement(sql, (found[0],)))]
    if entries:
        yield Statement("UPDATE vector_store_batches SET cancelled = 1 WHERE key = $1", (found[0],))
        yield from vector_files.withdraw(entries)
        yield from vector_chunks.discard(project, entries, now)
    return (yield from load(project, store_id, batch_id))


def list_entries(
    project: str, store_id: str, batch_id: str, query: PageQuery, status: Status | None
) -> Steps[Page[EntryRow] | None]:
    found = yield from one(_one(project, store_id, batch_id))
    if found is None:
        return None
    return (yield from vector_files.page("f.batch = $1", found[0], query, status))


def _one(project: str, store_id: str, batch_id: str) -> Statement:
    sql = """
        SELECT b.key, b.created_at, b.cancelled
        FROM vector_store_batches AS b JOIN vector_stores AS s ON s.key = b.store
        WHERE s.project_id = $1 AND s.id = $2 AND b.id = $3"""
    return Statement(sql, (project, store_id, batch_id))
