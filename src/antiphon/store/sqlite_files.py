"""Files and uploads in SQLite: their rows."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence

from antiphon.protocol.errors import NotFound
from antiphon.store.base import PageQuery
from antiphon.store.files import FilePage, FileRow, PartRow, UploadRow
from antiphon.store.sqlite_connection import Readers, Writer

_FILE = "id, created_at, filename, purpose, size, sha256, expires_at"
_LIVING = "(expires_at IS NULL OR expires_at > :now)"
_UPLOAD = "id, created_at, expires_at, filename, purpose, mime_type, size, file_seconds, status"
_PENDING = "project_id = :project AND id = :id AND status = 'pending' AND expires_at > :now"


class SqliteFiles:
    """`Files` in the file of a `SqliteStore`."""

    def __init__(self, writer: Writer, readers: Readers, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._readers = readers
        self._clock = clock

    # ---- files ----

    async def add(self, project: str, row: FileRow) -> None:
        await self._writer.run(lambda db: _add(db, project, row))

    async def file(self, project: str, file_id: str) -> FileRow | None:
        sql = f"SELECT {_FILE} FROM files WHERE project_id = :project AND id = :id AND {_LIVING}"
        found = self._readers.now(lambda db: db.execute(sql, self._named(project, file_id)).fetchone())
        return FileRow(*found) if found is not None else None

    async def files(self, project: str, query: PageQuery, purpose: str | None = None) -> FilePage:
        return await self._readers.apart(
            lambda db: _page(db, self._named(project, query.after), query, purpose)
        )

    async def remove(self, project: str, file_id: str) -> bool:
        sql = f"DELETE FROM files WHERE project_id = :project AND id = :id AND {_LIVING}"
        return await self._writer.run(lambda db: db.execute(sql, self._named(project, file_id)).rowcount == 1)

    # ---- uploads ----

    async def add_upload(self, project: str, row: UploadRow) -> None:
        sql = f"INSERT INTO uploads (project_id, {_UPLOAD}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        values = (project, *(getattr(row, name) for name in row.__struct_fields__))
        await self._writer.run(lambda db: db.execute(sql, values).rowcount)

    async def upload(self, project: str, upload_id: str) -> UploadRow | None:
        sql = f"SELECT {_UPLOAD} FROM uploads WHERE project_id = ? AND id = ?"
        found = self._readers.now(lambda db: db.execute(sql, (project, upload_id)).fetchone())
        return UploadRow(*found) if found is not None else None

    async def add_part(self, project: str, upload_id: str, row: PartRow) -> bool:
        sql = f"""
            INSERT INTO upload_parts (id, upload, created_at, size)
            SELECT :part, key, :created_at, :size FROM uploads WHERE {_PENDING}"""
        values = self._named(project, upload_id) | {
            "part": row.id,
            "created_at": row.created_at,
            "size": row.size,
        }
        return await self._writer.run(lambda db: db.execute(sql, values).rowcount == 1)

    async def parts(self, project: str, upload_id: str) -> Sequence[PartRow]:
        sql = """
            SELECT p.id, p.created_at, p.size FROM upload_parts AS p JOIN uploads AS u ON u.key = p.upload
            WHERE u.project_id = ? AND u.id = ?"""
        rows = await self._readers.apart(lambda db: db.execute(sql, (project, upload_id)).fetchall())
        return [PartRow(*row) for row in rows]

    async def complete(self, project: str, upload_id: str, row: FileRow) -> bool:
        values = self._named(project, upload_id)

        def job(db: sqlite3.Connection) -> bool:
            if not _close(db, values, "completed"):
                return False
            _add(db, project, row)
            return True

        return await self._writer.run(job)

    async def cancel(self, project: str, upload_id: str) -> bool:
        values = self._named(project, upload_id)
        return await self._writer.run(lambda db: _close(db, values, "cancelled"))

    # ---- what is over ----

    async def sweep(self) -> Sequence[str]:
        now = self._clock()
        return await self._writer.run(lambda db: _sweep(db, now))

    async def known(self, ids: Iterable[str]) -> set[str]:
        sql = "SELECT 1 FROM files WHERE id = ?1 UNION ALL SELECT 1 FROM upload_parts WHERE id = ?1"
        return await self._readers.apart(lambda db: {i for i in ids if db.execute(sql, (i,)).fetchone()})

    def _named(self, project: str, id_: str | None) -> dict[str, str | int | float | None]:
        return {"project": project, "id": id_, "now": self._clock()}


def _add(db: sqlite3.Connection, project: str, row: FileRow) -> None:
    sql = f"INSERT INTO files (project_id, {_FILE}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    db.execute(sql, (project, *(getattr(row, name) for name in row.__struct_fields__)))


def _page(
    db: sqlite3.Connection,
    named: dict[str, str | int | float | None],
    query: PageQuery,
    purpose: str | None,
) -> FilePage:
    if query.after is not None:
        after = "SELECT key FROM files WHERE project_id = :project AND id = :id"
        found = db.execute(after, named).fetchone()
        if found is None:
            raise NotFound(f"No such File object: {query.after}", param="after")
        named = named | {"after": found[0]}
    side, order = (">", "ASC") if query.order == "asc" else ("<", "DESC")
    sql = f"""
        SELECT {_FILE} FROM files WHERE project_id = :project AND {_LIVING}
            {f"AND key {side} :after" if query.after is not None else ""}
            {"AND purpose = :purpose" if purpose is not None else ""}
        ORDER BY key {order} LIMIT :limit"""
    rows = db.execute(sql, named | {"purpose": purpose, "limit": query.limit + 1}).fetchall()
    return FilePage([FileRow(*row) for row in rows[: query.limit]], more=len(rows) > query.limit)


def _close(db: sqlite3.Connection, named: dict[str, str | int | float | None], status: str) -> bool:
    """A pending upload ends, and its parts with it."""
    sql = f"UPDATE uploads SET status = :status WHERE {_PENDING} RETURNING key"
    found = db.execute(sql, named | {"status": status}).fetchall()
    db.executemany("DELETE FROM upload_parts WHERE upload = ?", found)
    return bool(found)


def _sweep(db: sqlite3.Connection, now: float) -> list[str]:
    over = "SELECT key FROM uploads WHERE expires_at <= ?"
    gone = db.execute(f"DELETE FROM upload_parts WHERE upload IN ({over}) RETURNING id", (now,)).fetchall()
    db.execute("DELETE FROM uploads WHERE expires_at <= ?", (now,))
    gone += db.execute("DELETE FROM files WHERE expires_at <= ? RETURNING id", (now,)).fetchall()
    return [row[0] for row in gone]
