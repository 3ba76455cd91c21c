"""Files, and uploads: files that arrive in parts. What is kept of them in rows; `blobs` keeps their bytes.

A file that has expired is not there any more for whoever asks; its row goes with the next `sweep`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from msgspec import Struct

from antiphon.store import vector_files
from antiphon.store.database import Database
from antiphon.store.paging import Page, PageQuery, key_of
from antiphon.store.statements import Insert, Row, Statement, Steps, alone, one, placeholders, portions


class FileRow(Struct, frozen=True):
    id: str
    created_at: int
    filename: str
    purpose: str
    size: int
    sha256: bytes
    expires_at: int | None = None


class UploadRow(Struct, frozen=True):
    id: str
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    mime_type: str
    size: int
    """How many bytes the file is to have."""
    file_seconds: int | None = None
    """How long the file is to be kept once it is whole."""
    status: Literal["pending", "completed", "cancelled"] = "pending"


class PartRow(Struct, frozen=True):
    id: str
    created_at: int
    size: int


class Files:
    """Rows belong to a project. What is not there is None, or False."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- files ----

    async def add(self, project: str, row: FileRow) -> None:
        await self._database.write(add, project, row)

    async def get(self, project: str, file_id: str) -> FileRow | None:
        return await self._database.read(load, project, file_id, self._database.clock())

    async def page(self, project: str, query: PageQuery, purpose: str | None = None) -> Page[FileRow]:
        """By creation. Raises UnknownCursor."""
        now = self._database.clock()
        return await self._database.read_long(list_files, project, query, purpose, now)

    async def delete(self, project: str, file_id: str) -> bool:
        return await self._database.write(delete, project, file_id, self._database.clock())

    # ---- uploads ----

    async def add_upload(self, project: str, row: UploadRow) -> None:
        await self._database.write(add_upload, project, row)

    async def upload(self, project: str, upload_id: str) -> UploadRow | None:
        return await self._database.read(load_upload, project, upload_id)

    async def add_part(self, project: str, upload_id: str, row: PartRow) -> bool:
        """False: no such upload is pending."""
        return await self._database.write(add_part, project, upload_id, row, self._database.clock())

    async def parts(self, project: str, upload_id: str) -> Sequence[PartRow]:
        return await self._database.read_long(list_parts, project, upload_id)

    async def complete(self, project: str, upload_id: str, row: FileRow) -> bool:
        """The upload is the file now, and its parts are gone. False: no such upload is pending."""
        return await self._database.write(complete, project, upload_id, row, self._database.clock())

    async def cancel(self, project: str, upload_id: str) -> bool:
        """The upload's parts are gone. False: no such upload is pending."""
        return await self._database.write(cancel, project, upload_id, self._database.clock())

    # ---- what expires ----

    async def sweep(self) -> Sequence[str]:
        """Forget, in every project, what has expired. Returns the ids of files and parts that are gone."""
        return await self._database.write(sweep, self._database.clock())

    async def known(self, ids: Iterable[str]) -> set[str]:
        """Those of the ids that are names of blobs that some row knows, whosesoever."""
        return await self._database.read_long(known, list(ids))

    async def count_blobs(self) -> int:
        """How many names of blobs rows know."""
        return await self._database.read_long(count_blobs)

    async def blobs(self, after: str) -> Sequence[str]:
        """Some names of blobs that rows of any project know, in an order, behind a name."""
        return await self._database.read_long(list_blobs, after)

    async def digests(self, after: str) -> Mapping[str, bytes]:
        """The same, each with the SHA-256 of its bytes. Parts of uploads have none: their file has it."""
        return await self._database.read_long(list_digests, after)


_FILE = "id, created_at, filename, purpose, size, sha256, expires_at"
_UPLOAD = "id, created_at, expires_at, filename, purpose, mime_type, size, file_seconds, status"
_PENDING = "project_id = $1 AND id = $2 AND status = 'pending' AND expires_at > $3"
_NAMING = (
    ("files", "id"),
    ("upload_parts", "id"),
    ("container_files", "blob"),
    ("skill_bundles", "blob"),
    ("inline_data", "blob"),
)
"""Where the names of blobs are kept."""
_DIGESTED = tuple((table, column) for table, column in _NAMING if table != "upload_parts")


def count_blobs() -> Steps[int]:
    total = 0
    for table, _ in _NAMING:
        ((rows,),) = yield Statement(f"SELECT count(*) FROM {table}")
        total += rows
    return total


def list_blobs(after: str) -> Steps[list[str]]:
    return [name for (name,) in (yield _behind(after, _NAMING))]


def list_digests(after: str) -> Steps[dict[str, bytes]]:
    found = yield _behind(after, _DIGESTED, ", sha256")
    return {name: bytes(sha256) for name, sha256 in found}


def _behind(after: str, naming: Iterable[tuple[str, str]], more: str = "") -> Statement:
    """Some rows with names of blobs, and these columns of theirs, in an order, behind a name."""
    parts = [f"SELECT {column} AS name{more} FROM {table} WHERE {column} > $1" for table, column in naming]
    return Statement(f"{' UNION '.join(parts)} ORDER BY name LIMIT 1000", (after,))


def add(project: str, row: FileRow) -> Steps[None]:
    yield Insert(f"files (project_id, {_FILE})", ((project, *_values(row)),))


def load(project: str, file_id: str, now: float) -> Steps[FileRow | None]:
    sql = f"""
        SELECT {_FILE} FROM files
        WHERE project_id = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > $3)"""
    found = yield from one(Statement(sql, (project, file_id, now)))
    return FileRow(*found) if found is not None else None


def list_files(project: str, query: PageQuery, purpose: str | None, now: float) -> Steps[Page[FileRow]]:
    wanted, values = "", [project, now, query.limit + 1]
    if query.after is not None:
        sql = "SELECT key FROM files WHERE project_id = $1 AND id = $2"
        values.append((yield from key_of("file", query.after, Statement(sql, (project, query.after)))))
        wanted += f" AND key {query.side} ${len(values)}"
    if purpose is not None:
        values.append(purpose)
        wanted += f" AND purpose = ${len(values)}"
    sql = f"""
        SELECT {_FILE} FROM files
        WHERE project_id = $1 AND (expires_at IS NULL OR expires_at > $2) {wanted}
        ORDER BY key {query.order} LIMIT $3"""
    rows = [FileRow(*row) for row in (yield Statement(sql, tuple(values)))]
    return query.page(rows)


def delete(project: str, file_id: str, now: float) -> Steps[bool]:
    """Also out of every vector store that it is in."""
    yield from alone("files", project)
    sql = """
        DELETE FROM files
        WHERE project_id = $1 AND id = $2 AND (expires_at IS NULL OR expires_at > $3)
        RETURNING key"""
    found = yield from one(Statement(sql, (project, file_id, now)))
    if found is None:
        return False
    yield from vector_files.remove_everywhere(project, found[0], now)
    return True


# ---- uploads ----------------------------------------------------------------------------------------


def add_upload(project: str, row: UploadRow) -> Steps[None]:
    yield Insert(f"uploads (project_id, {_UPLOAD})", ((project, *_values(row)),))


def load_upload(project: str, upload_id: str) -> Steps[UploadRow | None]:
    sql = f"SELECT {_UPLOAD} FROM uploads WHERE project_id = $1 AND id = $2"
    found = yield from one(Statement(sql, (project, upload_id)))
    return UploadRow(*found) if found is not None else None


def add_part(project: str, upload_id: str, row: PartRow, now: float) -> Steps[bool]:
    sql = f"SELECT key FROM uploads WHERE {_PENDING} /*! FOR SHARE */"
    found = yield from one(Statement(sql, (project, upload_id, now)))
    if found is None:
        return False
    into = "upload_parts (id, upload, created_at, size)"
    yield Insert(into, ((row.id, found[0], row.created_at, row.size),))
    return True


def list_parts(project: str, upload_id: str) -> Steps[list[PartRow]]:
    sql = """
        SELECT p.id, p.created_at, p.size FROM upload_parts AS p JOIN uploads AS u ON u.key = p.upload
        WHERE u.project_id = $1 AND u.id = $2"""
    return [PartRow(*row) for row in (yield Statement(sql, (project, upload_id)))]


def complete(project: str, upload_id: str, row: FileRow, now: float) -> Steps[bool]:
    if not (yield from _close(project, upload_id, now, "completed")):
        return False
    yield from add(project, row)
    return True


def cancel(project: str, upload_id: str, now: float) -> Steps[bool]:
    return (yield from _close(project, upload_id, now, "cancelled"))


def _close(project: str, upload_id: str, now: float, status: str) -> Steps[bool]:
    """A pending upload ends, and its parts with it."""
    sql = f"UPDATE uploads SET status = $4 WHERE {_PENDING} RETURNING key"
    found = yield from one(Statement(sql, (project, upload_id, now, status)))
    if found is None:
        return False
    yield Statement("DELETE FROM upload_parts WHERE upload = $1", found)
    return True


# ---- what expires -----------------------------------------------------------------------------------


def sweep(now: float) -> Steps[list[str]]:
    gone = yield Statement(
        """
        DELETE FROM upload_parts WHERE upload IN (SELECT key FROM uploads WHERE expires_at <= $1)
        RETURNING id""",
        (now,),
    )
    yield Statement("DELETE FROM uploads WHERE expires_at <= $1", (now,))
    sql = "DELETE FROM files WHERE expires_at <= $1 RETURNING id, project_id, key"
    files = yield Statement(sql, (now,))
    for _, project, key in files:
        yield from alone("files", project)
        yield from vector_files.remove_everywhere(project, key, now)
    return [name for name, *_ in (*gone, *files)]


def known(ids: Sequence[str]) -> Steps[set[str]]:
    found: set[str] = set()
    for some in portions(ids):
        named = placeholders(1, len(some))
        for table, column in _NAMING:
            rows = yield Statement(f"SELECT {column} FROM {table} WHERE {column} IN ({named})", some)
            found.update(name for (name,) in rows)
    return found


def _values(row: FileRow | UploadRow) -> Row:
    return tuple(getattr(row, name) for name in row.__struct_fields__)
