"""Vector stores: files that are searched together.

What is in them has modules of its own: which files (`vector_files`, `vector_batches`), how far each of them
is indexed (`vector_index`), and what is searched (`vector_chunks`, `vector_words`).

A store that nobody used for as long as it says has expired: nothing is added to it or found in it any more.
Its row stays, its files go with the next `sweep`.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from antiphon.store import vector_files
from antiphon.store.database import Database
from antiphon.store.errors import UnknownCursor
from antiphon.store.paging import Page, PageQuery
from antiphon.store.statements import Insert, Row, Statement, Steps, alone, one, placeholders
from antiphon.store.vector_batches import FileCounts
from antiphon.store.vector_files import NewEntry

TOUCH_SECONDS = 60.0
"""A use is written down when the last one is so long ago."""
_SWEPT = 10
"""Stores whose files are taken out in one transaction."""


class NewStore(Struct, frozen=True, kw_only=True):
    id: str
    name: str
    description: str | None
    metadata: bytes
    """A JSON object."""
    expires_days: int | None
    embedder: str


class StoreRow(Struct, frozen=True, kw_only=True):
    id: str
    created_at: int
    name: str
    description: str | None
    metadata: bytes
    expires_days: int | None
    last_active_at: int
    counts: FileCounts
    usage_bytes: int
    expired: bool

    @property
    def expires_at(self) -> int | None:
        return None if self.expires_days is None else self.last_active_at + self.expires_days * 86_400


class StoreChange(Struct, frozen=True, kw_only=True):
    """What changes of a store; None: stays."""

    name: str | None = None
    metadata: bytes | None = None
    expires: tuple[int | None] | None = None
    """The days, or None to keep it for ever."""


class Searched(Struct, frozen=True):
    """A store, as searches see it."""

    key: int
    id: str
    embedder: str
    dimension: int | None
    """None: nothing was indexed yet. 0: nor is anything now, but its embedder is settled: its files wait to
    be indexed anew with that one."""
    version: int
    """Another one when there is more or less to search."""
    last_active_at: int
    is_over: int
    """1: it has expired."""


class VectorStores:
    """Rows belong to a project. What is not there is None, or False."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, project: str, new: NewStore, entries: Sequence[NewEntry] = ()) -> StoreRow:
        """Raises UnknownFile."""
        return await self._database.write(create, project, new, entries, self._database.clock())

    async def get(self, project: str, store_id: str) -> StoreRow | None:
        return await self._database.read_long(load, project, store_id, self._database.clock())

    async def update(self, project: str, store_id: str, change: StoreChange) -> StoreRow | None:
        """It counts as used."""
        return await self._database.write(update, project, store_id, change, self._database.clock())

    async def page(self, project: str, query: PageQuery) -> Page[StoreRow]:
        """By creation. Raises UnknownCursor."""
        return await self._database.read_long(list_stores, project, query, self._database.clock())

    async def delete(self, project: str, store_id: str) -> bool:
        """The store goes, with all that was made of its files; the files stay."""
        return await self._database.write(delete, project, store_id, self._database.clock())

    async def searched(self, project: str, store_id: str) -> Searched | None:
        return await self._database.read(find, project, store_id, self._database.clock())

    def used(self, store: Searched) -> None:
        """It was used now: written down without waiting, and not every time."""
        now = self._database.clock()
        if now - store.last_active_at >= TOUCH_SECONDS:
            self._database.later(touch, (store.key, int(now)))

    async def sweep(self) -> None:
        """Take the files out of stores that have expired, in every project."""
        while await self._database.write(sweep, self._database.clock()):
            pass

    async def reindex(self, embedder: str, project: str | None = None, store_id: str | None = None) -> int:
        """Have every store indexed anew that was made with another embedder; of one project, or of all, and
        that store alone, if one is named. Processes with this embedder do it, and no others. Gives how many
        files there are to index."""
        count = 0
        for store in await self._database.read_long(others, embedder, project, store_id):
            count += await self._database.write(reindex, store, embedder)
        return count


_STORE = "id, created_at, name, description, metadata, expires_days, last_active_at"
_FIELDS = ("id", "created_at", "name", "description", "metadata", "expires_days", "last_active_at")


def create(project: str, new: NewStore, entries: Sequence[NewEntry], now: float) -> Steps[StoreRow]:
    yield from alone("files", project)
    into = f"vector_stores (project_id, {_STORE}, embedder)"
    at = int(now)
    values = (
        project,
        new.id,
        at,
        new.name,
        new.description,
        new.metadata,
        new.expires_days,
        at,
        new.embedder,
    )
    ((key,),) = yield Insert(into, (values,), key="key")
    if entries:
        yield from vector_files.attach(project, new.id, key, entries, now)
    row = yield from load(project, new.id, now)
    assert row is not None
    return row


def load(project: str, store_id: str, now: float) -> Steps[StoreRow | None]:
    sql = f"SELECT key, {_STORE} FROM vector_stores WHERE project_id = $1 AND id = $2"
    rows = yield Statement(sql, (project, store_id))
    found = yield from _with_counts(rows, now)
    return found[0] if found else None


def update(project: str, store_id: str, change: StoreChange, now: float) -> Steps[StoreRow | None]:
    yield from alone("files", project)
    found = yield from vector_files.place(project, store_id)
    if found is None:
        return None
    found.check(store_id, now)
    sql = """
        UPDATE vector_stores
        SET name = coalesce(CAST($1 AS TEXT), name), metadata = coalesce($2, metadata), last_active_at = $3
        WHERE key = $4"""
    yield Statement(sql, (change.name, change.metadata, int(now), found.key))
    if change.expires is not None:
        sql = "UPDATE vector_stores SET expires_days = $1 WHERE key = $2"
        yield Statement(sql, (*change.expires, found.key))
    return (yield from load(project, store_id, now))


def list_stores(project: str, query: PageQuery, now: float) -> Steps[Page[StoreRow]]:
    parameters: list[object] = [project]
    where = "project_id = $1"
    for cursor, side in query.bounds:
        found = yield from vector_files.place(project, cursor)
        if found is None:
            raise UnknownCursor("vector store", cursor)
        parameters.append(found.key)
        where += f" AND key {side} ${len(parameters)}"
    sql = f"""
        SELECT key, {_STORE} FROM vector_stores WHERE {where}
        ORDER BY key {query.direction} LIMIT {query.limit + 1}"""
    page = query.page((yield Statement(sql, tuple(parameters))))
    return Page((yield from _with_counts(page.rows, now)), page.more)


def delete(project: str, store_id: str, now: float) -> Steps[bool]:
    yield from alone("files", project)
    found = yield from vector_files.place(project, store_id)
    if found is None:
        return False
    yield from _empty(project, found.key, now)
    yield Statement("DELETE FROM vector_store_batches WHERE store = $1", (found.key,))
    yield Statement("DELETE FROM vector_stores WHERE key = $1", (found.key,))
    return True


def find(project: str, store_id: str, now: float) -> Steps[Searched | None]:
    sql = """
        SELECT key, id, embedder, dimension, version, last_active_at,
            expires_days IS NOT NULL AND last_active_at + 86400.0 * expires_days <= $3
        FROM vector_stores WHERE project_id = $1 AND id = $2"""
    found = yield from one(Statement(sql, (project, store_id, now)))
    return Searched(*found) if found is not None else None


def touch(uses: Sequence[tuple[int, int]]) -> Steps[None]:
    """Stores, and when each was used."""
    for key, at in dict(uses).items():
        sql = "UPDATE vector_stores SET last_active_at = $2 WHERE key = $1 AND last_active_at < $2"
        yield Statement(sql, (key, at))


# ---- what is over -----------------------------------------------------------------------------------


def sweep(now: float) -> Steps[bool]:
    """Whether there may be more to do."""
    sql = f"""
        SELECT key, project_id FROM vector_stores
        WHERE expires_days IS NOT NULL AND swept = 0 AND last_active_at + 86400.0 * expires_days <= $1
        LIMIT {_SWEPT}"""
    stores = yield Statement(sql, (now,))
    for key, project in stores:
        yield from alone("files", project)
        yield from _empty(project, key, now)
        yield Statement("UPDATE vector_stores SET swept = 1 WHERE key = $1", (key,))
    return len(stores) == _SWEPT


def _empty(project: str, store: int, now: float) -> Steps[None]:
    rows = yield Statement("SELECT key FROM vector_store_files WHERE store = $1", (store,))
    if rows:
        yield from vector_files.drop(project, [key for (key,) in rows], now)


# ---- another embedder -------------------------------------------------------------------------------


def others(embedder: str, project: str | None, store_id: str | None) -> Steps[list[int]]:
    sql = """
        SELECT key FROM vector_stores
        WHERE embedder <> $1 AND (CAST($2 AS TEXT) IS NULL OR project_id = $2)
            AND (CAST($3 AS TEXT) IS NULL OR id = $3)
        ORDER BY key"""
    return [key for (key,) in (yield Statement(sql, (embedder, project, store_id)))]


def reindex(store: int, embedder: str) -> Steps[int]:
    """Who indexes now, with another embedder, has lost its job: vectors of two are not mixed."""
    sql = """
        UPDATE vector_store_files SET status = 'in_progress'
        WHERE store = $1 AND status IN ('completed', 'in_progress') RETURNING key"""
    entries = [key for (key,) in (yield Statement(sql, (store,)))]
    yield from vector_files.withdraw(entries)
    sql = """
        UPDATE vector_stores SET embedder = $1, dimension = CAST($3 AS BIGINT), version = version + 1
        WHERE key = $2 RETURNING project_id"""
    found = yield from one(Statement(sql, (embedder, store, 0 if entries else None)))
    if found is None:
        return 0
    yield from vector_files.enqueue(found[0], entries, vector_files.index_with(embedder))
    return len(entries)


# ---- rows -------------------------------------------------------------------------------------------


def _with_counts(rows: Sequence[Row], now: float) -> Steps[list[StoreRow]]:
    """The stores, with what is in them."""
    if not rows:
        return []
    counted: dict[int, dict[str, int]] = {key: {} for key, *_ in rows}
    used = dict.fromkeys(counted, 0)
    sql = f"""
        SELECT store, status, count(*), CAST(sum(usage_bytes) AS BIGINT) FROM vector_store_files
        WHERE store IN ({placeholders(1, len(rows))}) GROUP BY store, status"""
    for store, status, count, size in (yield Statement(sql, tuple(counted))):
        counted[store][status] = count
        if status == "completed":
            used[store] = size
    return [_row(row, FileCounts(**counted[key]), used[key], now) for key, *row in rows]


def _row(values: Sequence[object], counts: FileCounts, used: int, now: float) -> StoreRow:
    members = dict(zip(_FIELDS, values, strict=True))
    row = StoreRow(**members, counts=counts, usage_bytes=used, expired=False)  # type: ignore[arg-type]
    return replace(row, expired=row.expires_at is not None and row.expires_at <= now)
