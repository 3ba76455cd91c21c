"""Files of vector stores: which files are in which store, and how far each is indexed.

That a file is in a store is an *entry*. It has a key that is never used again, so nothing that a file left
behind comes back with another one. Indexing it is a job (`work`), enqueued with the entry and withdrawn with
it: whoever indexes a file that was taken out has lost the job, and can write nothing more.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from antiphon.store import vector_chunks, work
from antiphon.store.database import Database
from antiphon.store.errors import Expired, TooManyFiles, UnknownFile
from antiphon.store.paging import Page, PageQuery, key_of
from antiphon.store.statements import (
    Insert,
    Row,
    Statement,
    Steps,
    alone,
    changed,
    one,
    placeholders,
    portions,
    rows_named,
)
from antiphon.store.work import Job

INDEX = "index_file"
"""The kind of jobs that any process does which can index, with the embedder that it has. Payload and name of
each are the key of its entry."""
MOST_FILES = 10_000
"""In one store."""

Status = Literal["in_progress", "completed", "failed", "cancelled"]


class NewEntry(Struct, frozen=True):
    """A file that is to be in a store."""

    file_id: str
    attributes: str = "{}"
    """A JSON object."""
    chunk_tokens: int = 800
    overlap: int = 400


class EntryRow(Struct, frozen=True):
    """A file that is in a store."""

    file_id: str
    created_at: int
    status: Status
    attributes: str
    chunk_tokens: int
    overlap: int
    usage_bytes: int
    error_code: str | None
    error_message: str | None


class HeldFile(Struct, frozen=True):
    """A file that is in a store, by what it is called and made of."""

    id: str
    filename: str
    size: int
    sha256: bytes
    status: Status
    error_code: str | None
    error_message: str | None


class Place(Struct, frozen=True):
    """A store, as rules find it."""

    key: int
    expires_at: float | None

    def check(self, store_id: str, now: float) -> None:
        """Raises Expired."""
        if self.expires_at is not None and self.expires_at <= now:
            raise Expired(store_id)


class VectorFiles:
    """Entries are found by the ids of project, store and file. What is not there is None, or False."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def names(self, project: str, file_ids: Sequence[str]) -> dict[str, str]:
        """How those of these files are called that the project has."""
        return await self._database.read_long(names, project, file_ids)

    async def add(self, project: str, store_id: str, entry: NewEntry) -> bool:
        """Raises Expired, UnknownFile, TooManyFiles. A file that is in the store already is indexed anew."""
        return await self._database.write(add, project, store_id, entry, self._database.clock())

    async def get(self, project: str, store_id: str, file_id: str) -> EntryRow | None:
        return await self._database.read(load, project, store_id, file_id)

    async def page(
        self, project: str, store_id: str, query: PageQuery, status: Status | None = None
    ) -> Page[EntryRow] | None:
        """By the time at which they were added; cursors are ids of files. Raises UnknownCursor."""
        return await self._database.read_long(list_entries, project, store_id, query, status)

    async def held(self, project: str, store_id: str) -> Sequence[HeldFile]:
        """All files of a store, by the time at which they were added."""
        return await self._database.read_long(held, project, store_id)

    async def set_attributes(self, project: str, store_id: str, file_id: str, attributes: str) -> bool:
        return await self._database.write(set_attributes, project, store_id, file_id, attributes)

    async def texts(self, project: str, store_id: str, file_id: str) -> Sequence[str] | None:
        """What was read of a file, in pieces that follow each other."""
        return await self._database.read_long(load_text, project, store_id, file_id)

    async def remove(self, project: str, store_id: str, file_id: str) -> bool:
        """The file stays, but is in the store no more."""
        return await self._database.write(remove, project, store_id, file_id, self._database.clock())


_ENTRY = """files.id, f.created_at, f.status, f.attributes, f.chunk_tokens, f.overlap,
    CASE WHEN f.status = 'completed' THEN f.usage_bytes ELSE 0 END, f.error_code, f.error_message"""
_FROM = "vector_store_files AS f JOIN files ON files.key = f.file"


def place(project: str, store_id: str) -> Steps[Place | None]:
    sql = """
        SELECT key, CAST(last_active_at + 86400.0 * expires_days AS DOUBLE PRECISION) FROM vector_stores
        WHERE project_id = $1 AND id = $2"""
    found = yield from one(Statement(sql, (project, store_id)))
    return Place(*found) if found is not None else None


def names(project: str, file_ids: Sequence[str]) -> Steps[dict[str, str]]:
    rows = yield from _files(project, file_ids, "id, filename")
    return dict(rows)


def add(project: str, store_id: str, entry: NewEntry, now: float) -> Steps[bool]:
    yield from alone("files", project)
    store = yield from place(project, store_id)
    if store is None:
        return False
    store.check(store_id, now)
    yield from attach(project, store_id, store.key, (entry,), now)
    return True


def attach(
    project: str, store_id: str, store: int, entries: Sequence[NewEntry], now: float, batch: int | None = None
) -> Steps[None]:
    """Put files into a store, and have them indexed. Each file is named once."""
    found = yield from _files(project, [entry.file_id for entry in entries], "id, key")
    keys: dict[str, int] = dict(found)
    for entry in entries:
        if entry.file_id not in keys:
            raise UnknownFile(entry.file_id)
    yield from _remove_present(project, store, list(keys.values()), now)
    sql = "SELECT count(*) FROM vector_store_files WHERE store = $1"
    ((count,),) = yield Statement(sql, (store,))
    if count + len(entries) > MOST_FILES:
        raise TooManyFiles(store_id, MOST_FILES)
    into = """vector_store_files
        (store, file, batch, created_at, status, attributes, chunk_tokens, overlap, embedder)"""
    rows = [
        (store, keys[e.file_id], batch, int(now), "in_progress", e.attributes, e.chunk_tokens, e.overlap, "")
        for e in entries
    ]
    made = yield Insert(into, rows, key="key")
    yield from enqueue(project, [key for (key,) in made])


def index_with(embedder: str) -> str:
    """The kind of jobs for processes with this embedder alone."""
    return f"{INDEX}:{embedder}"


def enqueue(project: str, entries: Sequence[int], kind: str = INDEX) -> Steps[None]:
    """Have entries indexed."""
    yield from work.enqueue(
        [Job(kind=kind, payload=b"%d" % key, project=project, name=str(key)) for key in entries]
    )


def withdraw(entries: Sequence[int]) -> Steps[None]:
    """They are not to be indexed: who does it has lost the job."""
    yield from work.withdraw(INDEX, [str(key) for key in entries])
    for some in portions(entries):
        sql = f"""
            SELECT DISTINCT s.embedder FROM vector_store_files AS f JOIN vector_stores AS s ON s.key = f.store
            WHERE f.key IN ({placeholders(1, len(some))})"""
        for (embedder,) in (yield Statement(sql, some)):
            yield from work.withdraw(index_with(embedder), [str(key) for key in some])


def load(project: str, store_id: str, file_id: str) -> Steps[EntryRow | None]:
    found = yield from one(_one(_ENTRY, project, store_id, file_id))
    return EntryRow(*found) if found is not None else None


def held(project: str, store_id: str) -> Steps[list[HeldFile]]:
    sql = f"""
        SELECT files.id, files.filename, files.size, files.sha256, f.status, f.error_code, f.error_message
        FROM {_FROM} JOIN vector_stores AS s ON s.key = f.store
        WHERE s.project_id = $1 AND s.id = $2 ORDER BY f.key"""
    return [HeldFile(*row) for row in (yield Statement(sql, (project, store_id)))]


def list_entries(
    project: str, store_id: str, query: PageQuery, status: Status | None
) -> Steps[Page[EntryRow] | None]:
    store = yield from place(project, store_id)
    if store is None:
        return None
    return (yield from page("f.store = $1", store.key, query, status))


def page(where: str, value: int, query: PageQuery, status: Status | None) -> Steps[Page[EntryRow]]:
    """The entries for which `where` is true, with `value` for `$1`."""
    parameters: list[object] = [value]
    for cursor, side in query.bounds:
        sql = f"SELECT f.key FROM {_FROM} WHERE {where} AND files.id = $2"
        parameters.append((yield from key_of("file", cursor, Statement(sql, (value, cursor)))))
        where += f" AND f.key {side} ${len(parameters)}"
    if status is not None:
        parameters.append(status)
        where += f" AND f.status = ${len(parameters)}"
    sql = (
        f"SELECT {_ENTRY} FROM {_FROM} WHERE {where} ORDER BY f.key {query.direction} LIMIT {query.limit + 1}"
    )
    rows = [EntryRow(*row) for row in (yield Statement(sql, tuple(parameters)))]
    return query.page(rows)


def set_attributes(project: str, store_id: str, file_id: str, attributes: str) -> Steps[bool]:
    found = yield from one(_one("f.key", project, store_id, file_id))
    if found is None:
        return False
    sql = "UPDATE vector_store_files SET attributes = $1 WHERE key = $2 RETURNING 1"
    return (yield from changed(Statement(sql, (attributes, found[0]))))


def load_text(project: str, store_id: str, file_id: str) -> Steps[list[str] | None]:
    found = yield from one(_one("f.key, f.status", project, store_id, file_id))
    if found is None:
        return None
    key, status = found
    if status != "completed":
        return []
    sql = """
        SELECT substr(text, own_start - start + 1, own_end - own_start) FROM vector_chunks
        WHERE entry = $1 ORDER BY number"""
    return [text for (text,) in (yield Statement(sql, (key,)))]


# ---- what is taken out ------------------------------------------------------------------------------


def remove(project: str, store_id: str, file_id: str, now: float) -> Steps[bool]:
    yield from alone("files", project)
    found = yield from one(_one("f.key", project, store_id, file_id))
    if found is None:
        return False
    yield from drop(project, found, now)
    return True


def remove_everywhere(project: str, file: int, now: float) -> Steps[None]:
    """A file is deleted: `file` is its key."""
    rows = yield Statement("SELECT key FROM vector_store_files WHERE file = $1", (file,))
    if rows:
        yield from drop(project, [key for (key,) in rows], now)


def drop(project: str, entries: Sequence[int], now: float) -> Steps[None]:
    """Entries go, with all that was made of them."""
    yield from withdraw(entries)
    for some in portions(entries):
        named = placeholders(1, len(some))
        sql = f"DELETE FROM vector_store_files WHERE key IN ({named}) RETURNING store"
        stores = {store for (store,) in (yield Statement(sql, some))}
        for store in stores:
            yield from renew_version(store)
    yield from vector_chunks.discard(project, entries, now)


def renew_version(store: int) -> Steps[None]:
    """There is more or less to search."""
    yield Statement("UPDATE vector_stores SET version = version + 1 WHERE key = $1", (store,))


def _remove_present(project: str, store: int, files: Sequence[int], now: float) -> Steps[None]:
    present: list[int] = []
    for some in portions(files):
        named = placeholders(2, len(some))
        sql = f"SELECT key FROM vector_store_files WHERE store = $1 AND file IN ({named})"
        present += [key for (key,) in (yield Statement(sql, (store, *some)))]
    if present:
        yield from drop(project, present, now)


def _files(project: str, file_ids: Sequence[str], columns: str) -> Steps[list[Row]]:
    select = f"SELECT {columns} FROM files WHERE project_id = $1 AND id"
    return (yield from rows_named(select, project, file_ids))


def _one(columns: str, project: str, store_id: str, file_id: str) -> Statement:
    sql = f"""
        SELECT {columns} FROM {_FROM} JOIN vector_stores AS s ON s.key = f.store
        WHERE s.project_id = $1 AND s.id = $2 AND files.id = $3"""
    return Statement(sql, (project, store_id, file_id))
