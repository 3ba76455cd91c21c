"""Files of containers, as they are kept. A path names one file, which keeps its id when its content changes;
the bytes lie under a name of their own, another one for each content."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from antiphon.store.database import Database
from antiphon.store.errors import ExpiredContainer, TooManyContainerFiles
from antiphon.store.paging import Page, PageQuery, key_of
from antiphon.store.statements import Insert, Statement, Steps, alone, one

MOST_FILES = 1000
"""In one container."""
Source: TypeAlias = Literal["user", "assistant"]


class ContainerFileRow(Struct, frozen=True, kw_only=True):
    id: str
    path: str
    created_at: int
    size: int
    source: Source
    sha256: bytes
    blob: str
    """Where its bytes are."""


class Stored(Struct, frozen=True):
    """A file that was put into a container."""

    row: ContainerFileRow
    """As it is now: with the id that the path had before, if it had one."""
    replaced: str | None
    """The blob that nothing knows any more."""


class Place(Struct, frozen=True):
    """A container, as rules find it."""

    key: int
    expired: bool

    def check(self, container_id: str) -> None:
        """Raises ExpiredContainer."""
        if self.expired:
            raise ExpiredContainer(container_id)


class ContainerFiles:
    """Found by the ids of project and container. What is not there is None. Whatever is asked of a container
    that has expired raises ExpiredContainer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, project: str, container_id: str, row: ContainerFileRow) -> Stored | None:
        """In place of what has its path. Raises TooManyContainerFiles."""
        return await self._database.write(put, project, container_id, row, self._database.clock())

    async def get(self, project: str, container_id: str, file_id: str) -> ContainerFileRow | None:
        return await self._database.read(load, project, container_id, file_id, self._database.clock())

    async def at(self, project: str, container_id: str, path: str) -> ContainerFileRow | None:
        """The file of a path."""
        return await self._database.read(find, project, container_id, path, self._database.clock())

    async def all(self, project: str, container_id: str) -> Sequence[ContainerFileRow]:
        """Also those of a container that has expired: none, before long."""
        return await self._database.read_long(everything, project, container_id)

    async def page(self, project: str, container_id: str, query: PageQuery) -> Page[ContainerFileRow] | None:
        """By creation. Raises UnknownCursor."""
        now = self._database.clock()
        return await self._database.read_long(list_files, project, container_id, query, now)

    async def remove(self, project: str, container_id: str, file_id: str) -> str | None:
        """Gives the blob that nothing knows any more."""
        return await self._database.write(remove, project, container_id, file_id, self._database.clock())


_FILE = "id, path, created_at, size, source, sha256, blob"
_OF = """
    FROM container_files AS f JOIN containers AS c ON c.key = f.container
    WHERE c.project_id = $1 AND c.id = $2"""


def place(project: str, container_id: str, now: float = 0) -> Steps[Place | None]:
    sql = """
        SELECT key, last_active_at + 60.0 * minutes <= $3 FROM containers
        WHERE project_id = $1 AND id = $2"""
    found = yield from one(Statement(sql, (project, container_id, now)))
    return Place(found[0], bool(found[1])) if found is not None else None


def insert(project: str, container: int, rows: Sequence[ContainerFileRow]) -> Steps[None]:
    """The files of a container that is new."""
    if rows:
        into = f"container_files (project_id, container, {_FILE})"
        yield Insert(into, [(project, container, *_values(row)) for row in rows])


def put(project: str, container_id: str, row: ContainerFileRow, now: float) -> Steps[Stored | None]:
    yield from alone("containers", project)
    container = yield from _living(project, container_id, now)
    if container is None:
        return None
    sql = f"SELECT {_FILE} FROM container_files WHERE container = $1 AND path = $2"
    found = yield from one(Statement(sql, (container, row.path)))
    if found is not None:
        before = _row(found)
        sql = (
            "UPDATE container_files SET size = $3, sha256 = $4, blob = $5 WHERE container = $1 AND path = $2"
        )
        yield Statement(sql, (container, row.path, row.size, row.sha256, row.blob))
        same = replace(row, id=before.id, created_at=before.created_at, source=before.source)
        return Stored(same, before.blob)
    ((count,),) = yield Statement("SELECT count(*) FROM container_files WHERE container = $1", (container,))
    if count >= MOST_FILES:
        raise TooManyContainerFiles(container_id, MOST_FILES)
    yield from insert(project, container, [row])
    return Stored(row, None)


def load(project: str, container_id: str, file_id: str, now: float) -> Steps[ContainerFileRow | None]:
    return (yield from _one(project, container_id, "id", file_id, now))


def find(project: str, container_id: str, path: str, now: float) -> Steps[ContainerFileRow | None]:
    return (yield from _one(project, container_id, "path", path, now))


def everything(project: str, container_id: str) -> Steps[list[ContainerFileRow]]:
    columns = _FILE.replace("id,", "f.id,", 1).replace("created_at", "f.created_at")
    sql = f"SELECT {columns} {_OF} ORDER BY f.key"
    return [_row(row) for row in (yield Statement(sql, (project, container_id)))]


def list_files(
    project: str, container_id: str, query: PageQuery, now: float
) -> Steps[Page[ContainerFileRow] | None]:
    container = yield from _living(project, container_id, now)
    if container is None:
        return None
    wanted, values = "", [container, query.limit + 1]
    if query.after is not None:
        sql = "SELECT key FROM container_files WHERE container = $1 AND id = $2"
        values.append((yield from key_of("file", query.after, Statement(sql, (container, query.after)))))
        wanted = f"AND key {query.side} $3"
    sql = f"""
        SELECT {_FILE} FROM container_files WHERE container = $1 {wanted}
        ORDER BY key {query.order} LIMIT $2"""
    rows = [_row(row) for row in (yield Statement(sql, tuple(values)))]
    return query.page(rows)


def remove(project: str, container_id: str, file_id: str, now: float) -> Steps[str | None]:
    yield from alone("containers", project)
    container = yield from _living(project, container_id, now)
    if container is None:
        return None
    sql = "DELETE FROM container_files WHERE container = $1 AND id = $2 RETURNING blob"
    found = yield from one(Statement(sql, (container, file_id)))
    return found[0] if found is not None else None


def drop(container: int) -> Steps[list[str]]:
    """All files of a container go. Gives their blobs."""
    sql = "DELETE FROM container_files WHERE container = $1 RETURNING blob"
    return [blob for (blob,) in (yield Statement(sql, (container,)))]


def _living(project: str, container_id: str, now: float) -> Steps[int | None]:
    """The container's key. Raises ExpiredContainer."""
    found = yield from place(project, container_id, now)
    if found is None:
        return None
    found.check(container_id)
    return found.key


def _one(
    project: str, container_id: str, column: str, value: str, now: float
) -> Steps[ContainerFileRow | None]:
    container = yield from _living(project, container_id, now)
    if container is None:
        return None
    sql = f"SELECT {_FILE} FROM container_files WHERE container = $1 AND {column} = $2"
    found = yield from one(Statement(sql, (container, value)))
    return _row(found) if found is not None else None


def _row(values: Sequence[object]) -> ContainerFileRow:
    return ContainerFileRow(**dict(zip(_FILE.split(", "), values, strict=True)))  # type: ignore[arg-type]


def _values(row: ContainerFileRow) -> tuple[object, ...]:
    return (row.id, row.path, row.created_at, row.size, row.source, row.sha256, row.blob)
