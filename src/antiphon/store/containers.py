"""Containers: where code runs, as they are kept. What is in them has a module of its own
(`container_files`), and so have the zips of their skills (`bundles`).

A container that nobody used for as long as it says has expired, and never comes back. Its row stays for a
while; what was in it goes with the next `sweep`.

The sandbox behind a container lives in one process, which *claims* the container while it uses it. Whoever
claims it next learns whether his own sandbox is the last that had it: if not, what that one holds is old.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from antiphon.store import bundles, container_files
from antiphon.store.bundles import Bundle
from antiphon.store.container_files import ContainerFileRow, Place
from antiphon.store.database import Database
from antiphon.store.errors import AlreadyExists, ContainerBusy, UnknownCursor
from antiphon.store.paging import Page, PageQuery
from antiphon.store.statements import Insert, Row, Statement, Steps, alone, changed, one, placeholders

TOUCH_SECONDS = 5.0
"""A use is written down when the last one is so long ago."""
_SWEPT = 10
"""Containers that are emptied in one transaction."""


class ContainerSkill(Struct, frozen=True, kw_only=True):
    """A skill that is in a container."""

    name: str
    description: str
    folder: str
    """The name of its folder."""
    bundle: Bundle


class NewContainerRow(Struct, frozen=True, kw_only=True):
    id: str
    name: str
    minutes: int
    memory_limit: str
    domains: Sequence[str] = ()
    files: Sequence[ContainerFileRow] = ()
    skills: Sequence[ContainerSkill] = ()


class ContainerRow(Struct, frozen=True, kw_only=True):
    id: str
    created_at: int
    name: str
    minutes: int
    last_active_at: int
    memory_limit: str
    domains: Sequence[str]
    expired: bool


class Claim(Struct, frozen=True):
    """A container that this process may use."""

    key: int
    row: ContainerRow
    is_ours: bool
    """Whether this process is the last that used it."""
    is_new: bool
    """Whether nobody used it before."""


class Containers:
    """Rows belong to a project. What is not there is None, or False."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, project: str, new: NewContainerRow) -> ContainerRow:
        """Raises AlreadyExists for an id that there is; UnknownBundle."""
        return await self._database.write(create, project, new, self._database.clock())

    async def get(self, project: str, container_id: str) -> ContainerRow | None:
        """It does not count as used."""
        return await self._database.read(load, project, container_id, self._database.clock())

    async def use(self, project: str, container_id: str) -> ContainerRow | None:
        """It counts as used now, unless it has expired: written down without waiting."""
        now = self._database.clock()
        row = await self._database.read(load, project, container_id, now)
        if row is None or row.expired:
            return row
        if now - row.last_active_at >= TOUCH_SECONDS:
            self._database.later(touch, (project, container_id, int(now)))
        return replace(row, last_active_at=int(now))

    async def page(self, project: str, query: PageQuery, name: str | None = None) -> Page[ContainerRow]:
        """By creation. Raises UnknownCursor."""
        return await self._database.read_long(list_containers, project, query, name, self._database.clock())

    async def skills(self, project: str, container_id: str) -> Sequence[ContainerSkill]:
        return await self._database.read_long(list_skills, project, container_id)

    async def delete(self, project: str, container_id: str) -> Sequence[str] | None:
        """It goes, with all that is in it. Gives the blobs that nothing knows any more."""
        return await self._database.write(delete, project, container_id)

    # ---- whose sandbox has it ----

    async def claim(self, project: str, container_id: str, home: str, seconds: float) -> Claim | None:
        """For so many seconds, unless it is renewed. Raises ExpiredContainer; ContainerBusy while another
        process uses it."""
        return await self._database.write(claim, project, container_id, home, seconds, self._database.clock())

    async def home(self, project: str, container_id: str) -> str | None:
        """The process that was the last to claim it; empty: none was."""
        return await self._database.read(load_home, project, container_id)

    async def renew(self, keys: Sequence[int], home: str, seconds: float) -> None:
        """They are still in use here."""
        await self._database.write(renew, keys, home, seconds, self._database.clock())

    async def release(self, key: int, home: str) -> None:
        """It is used no longer; its state is here until somebody else claims it."""
        await self._database.write(release, key, home, self._database.clock())

    async def at_home(self, keys: Sequence[int], home: str) -> Sequence[int]:
        """Those of the containers that this process was the last to claim, and that have not expired."""
        return await self._database.read(at_home, keys, home, self._database.clock())

    # ---- what is over ----

    async def sweep(self) -> Sequence[str] | None:
        """Take out what is in a few containers that have expired, of any project. Gives the blobs that
        nothing knows any more; when there is nothing more to do, None."""
        return await self._database.write(sweep, self._database.clock())

    async def expire(self, before: float, limit: int) -> int:
        """Forget containers that have expired, and were used last before a time (seconds since the epoch)."""
        return await self._database.write(expire, before, limit)


_COLUMNS = "id, created_at, name, minutes, last_active_at, memory_limit, domains"
_LIVES = "last_active_at + 60.0 * minutes > "
"""What comes behind it is the time."""


def create(project: str, new: NewContainerRow, now: float) -> Steps[ContainerRow]:
    yield from alone("containers", project)
    if (yield Statement("SELECT 1 FROM containers WHERE id = $1", (new.id,))):
        raise AlreadyExists(new.id)
    into = f"containers (project_id, {_COLUMNS})"
    domains = msgspec.json.encode(new.domains).decode()
    at = int(now)
    values = (project, new.id, at, new.name, new.minutes, at, new.memory_limit, domains)
    ((key,),) = yield Insert(into, (values,), key="key")
    yield from container_files.insert(project, key, new.files)
    rows = []
    for number, skill in enumerate(new.skills):
        bundle = yield from bundles.keep(project, skill.bundle)
        rows.append((key, number, bundle, skill.name, skill.description, skill.folder))
    if rows:
        yield Insert("container_skills (container, number, bundle, name, description, folder)", rows)
    return _row((new.id, at, new.name, new.minutes, at, new.memory_limit, domains, 1))


def load(project: str, container_id: str, now: float) -> Steps[ContainerRow | None]:
    sql = f"SELECT {_COLUMNS}, {_LIVES} $3 FROM containers WHERE project_id = $1 AND id = $2"
    found = yield from one(Statement(sql, (project, container_id, now)))
    return _row(found) if found is not None else None


def touch(uses: Sequence[tuple[str, str, int]]) -> Steps[None]:
    """Containers, by project and id, and when each was used."""
    for project, container_id, at in uses:
        sql = f"""
            UPDATE containers SET last_active_at = $3
            WHERE project_id = $1 AND id = $2 AND last_active_at < $3 AND {_LIVES} $3"""
        yield Statement(sql, (project, container_id, at))


def list_containers(
    project: str, query: PageQuery, name: str | None, now: float
) -> Steps[Page[ContainerRow]]:
    wanted, values = "", [project, now, query.limit + 1]
    if query.after is not None:
        place = yield from container_files.place(project, query.after)
        if place is None:
            raise UnknownCursor("container", query.after)
        values.append(place.key)
        wanted += f" AND key {query.side} ${len(values)}"
    if name is not None:
        values.append(name)
        wanted += f" AND name = ${len(values)}"
    sql = f"""
        SELECT {_COLUMNS}, {_LIVES} $2 FROM containers WHERE project_id = $1 {wanted}
        ORDER BY key {query.order} LIMIT $3"""
    rows = [_row(row) for row in (yield Statement(sql, tuple(values)))]
    return query.page(rows)


def list_skills(project: str, container_id: str) -> Steps[list[ContainerSkill]]:
    sql = """
        SELECT s.name, s.description, s.folder, b.sha256, b.size, b.blob, b.name, b.description
        FROM containers AS c JOIN container_skills AS s ON s.container = c.key
            JOIN skill_bundles AS b ON b.key = s.bundle
        WHERE c.project_id = $1 AND c.id = $2 ORDER BY s.number"""
    return [
        ContainerSkill(
            name=name,
            description=description,
            folder=folder,
            bundle=Bundle(sha256=sha, size=size, blob=blob, name=own, description=about, is_new=False),
        )
        for name, description, folder, sha, size, blob, own, about in (
            yield Statement(sql, (project, container_id))
        )
    ]


def delete(project: str, container_id: str) -> Steps[list[str] | None]:
    yield from alone("containers", project)
    place = yield from container_files.place(project, container_id)
    if place is None:
        return None
    gone = yield from _empty(place)
    yield Statement("DELETE FROM containers WHERE key = $1", (place.key,))
    return gone


# ---- whose sandbox has it ---------------------------------------------------------------------------


def claim(project: str, container_id: str, home: str, seconds: float, now: float) -> Steps[Claim | None]:
    sql = f"""
        SELECT key, home, home_until, {_COLUMNS}, {_LIVES} $3 FROM containers
        WHERE project_id = $1 AND id = $2 /*! FOR NO KEY UPDATE */"""
    found = yield from one(Statement(sql, (project, container_id, now)))
    if found is None:
        return None
    key, owner, until, *values = found
    row = _row(tuple(values))
    Place(key, row.expired).check(container_id)
    if owner != home and until > now:
        raise ContainerBusy(container_id)
    sql = "UPDATE containers SET home = $2, home_until = $3, last_active_at = $4 WHERE key = $1"
    yield Statement(sql, (key, home, now + seconds, int(now)))
    return Claim(key, row, is_ours=owner == home, is_new=not owner)


def load_home(project: str, container_id: str) -> Steps[str | None]:
    sql = "SELECT home FROM containers WHERE project_id = $1 AND id = $2"
    found = yield from one(Statement(sql, (project, container_id)))
    return found[0] if found is not None else None


def renew(keys: Sequence[int], home: str, seconds: float, now: float) -> Steps[None]:
    named = placeholders(4, len(keys))
    sql = f"""
        UPDATE containers SET home_until = $2, last_active_at = $3 WHERE home = $1 AND key IN ({named})"""
    yield Statement(sql, (home, now + seconds, int(now), *keys))


def release(key: int, home: str, now: float) -> Steps[bool]:
    sql = """
        UPDATE containers SET home_until = 0, last_active_at = $3 WHERE key = $1 AND home = $2
        RETURNING 1"""
    return (yield from changed(Statement(sql, (key, home, int(now)))))


def at_home(keys: Sequence[int], home: str, now: float) -> Steps[list[int]]:
    named = placeholders(3, len(keys))
    sql = f"SELECT key FROM containers WHERE home = $1 AND {_LIVES} $2 AND key IN ({named})"
    return [key for (key,) in (yield Statement(sql, (home, now, *keys)))]


# ---- what is over -----------------------------------------------------------------------------------


def sweep(now: float) -> Steps[list[str] | None]:
    sql = f"SELECT key, project_id FROM containers WHERE swept = 0 AND NOT ({_LIVES} $1) LIMIT {_SWEPT}"
    found = yield Statement(sql, (now,))
    gone: list[str] = []
    for key, project in found:
        yield from alone("containers", project)
        gone += yield from _empty(Place(key, expired=True))
        yield Statement("UPDATE containers SET swept = 1 WHERE key = $1", (key,))
    return gone if found else None


def expire(before: float, limit: int) -> Steps[int]:
    sql = """
        DELETE FROM containers WHERE key IN
            (SELECT key FROM containers WHERE last_active_at < $1 AND swept = 1
            ORDER BY last_active_at LIMIT $2)
        RETURNING 1"""
    return len((yield Statement(sql, (before, limit))))


def _empty(place: Place) -> Steps[list[str]]:
    """All that is in it goes. Gives the blobs that nothing knows any more."""
    gone = yield from container_files.drop(place.key)
    sql = "DELETE FROM container_skills WHERE container = $1 RETURNING bundle"
    used = yield Statement(sql, (place.key,))
    return gone + (yield from bundles.drop_unused(key for (key,) in used))


def _row(values: Row) -> ContainerRow:
    container_id, created_at, name, minutes, last_active_at, memory_limit, domains, lives = values
    return ContainerRow(
        id=container_id,
        created_at=created_at,
        name=name,
        minutes=minutes,
        last_active_at=last_active_at,
        memory_limit=memory_limit,
        domains=msgspec.json.decode(domains, type=list[str]),
        expired=not lives,
    )
