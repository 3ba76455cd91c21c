"""Skills and their versions, as they are kept. A number is never used again, and every skill has a version
that is meant when none is named."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from antiphon.store import bundles
from antiphon.store.bundles import Bundle
from antiphon.store.database import Database
from antiphon.store.errors import DefaultVersion, UnknownCursor
from antiphon.store.paging import Page, PageQuery
from antiphon.store.statements import Insert, Row, Statement, Steps, alone, changed, one

Which: TypeAlias = int | Literal["latest", "default"]
"""A version: its number, or what it is to its skill."""


class NewVersion(Struct, frozen=True):
    id: str
    bundle: Bundle


class SkillRow(Struct, frozen=True):
    id: str
    created_at: int
    name: str
    """Of the default version, like the description."""
    description: str
    default_version: int
    latest_version: int


class VersionRow(Struct, frozen=True):
    id: str
    skill_id: str
    number: int
    created_at: int
    name: str
    description: str
    bundle: Bundle


class Skills:
    """Rows belong to a project. What is not there is None, or False. Where something goes, those blobs are
    given that nothing knows any more."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, project: str, skill_id: str, first: NewVersion) -> SkillRow:
        """With its version 1, which is the default. Raises UnknownBundle."""
        return await self._database.write(create, project, skill_id, first, self._database.clock())

    async def get(self, project: str, skill_id: str) -> SkillRow | None:
        return await self._database.read(load, project, skill_id)

    async def page(self, project: str, query: PageQuery) -> Page[SkillRow]:
        """By creation. Raises UnknownCursor."""
        return await self._database.read_long(list_skills, project, query)

    async def set_default(self, project: str, skill_id: str, number: int) -> bool:
        """False: there is no such version."""
        return await self._database.write(set_default, project, skill_id, number)

    async def delete(self, project: str, skill_id: str) -> Sequence[str] | None:
        """With all its versions. Containers keep what they have of them."""
        return await self._database.write(delete, project, skill_id)

    # ---- versions ----

    async def add_version(self, project: str, skill_id: str, new: NewVersion) -> VersionRow | None:
        """Raises UnknownBundle."""
        return await self._database.write(add_version, project, skill_id, new, self._database.clock())

    async def version(self, project: str, skill_id: str, which: Which) -> VersionRow | None:
        return await self._database.read(load_version, project, skill_id, which)

    async def versions(self, project: str, skill_id: str, query: PageQuery) -> Page[VersionRow] | None:
        """By number; cursors are ids of versions. Raises UnknownCursor."""
        return await self._database.read_long(list_versions, project, skill_id, query)

    async def delete_version(self, project: str, skill_id: str, number: int) -> Sequence[str] | None:
        """Raises DefaultVersion."""
        return await self._database.write(delete_version, project, skill_id, number)


_SKILL = """
    SELECT s.id, s.created_at, b.name, b.description, s.default_version,
        (SELECT max(number) FROM skill_versions WHERE skill = s.key)
    FROM skills AS s JOIN skill_versions AS v ON v.skill = s.key AND v.number = s.default_version
        JOIN skill_bundles AS b ON b.key = v.bundle
    WHERE s.project_id = $1"""
_VERSION = """
    SELECT v.id, s.id, v.number, v.created_at, b.name, b.description, b.sha256, b.size, b.blob
    FROM skills AS s JOIN skill_versions AS v ON v.skill = s.key JOIN skill_bundles AS b ON b.key = v.bundle
    WHERE s.project_id = $1 AND s.id = $2"""


def create(project: str, skill_id: str, first: NewVersion, now: float) -> Steps[SkillRow]:
    yield from alone("containers", project)
    into = "skills (project_id, id, created_at, default_version, last_number)"
    ((key,),) = yield Insert(into, ((project, skill_id, int(now), 1, 1),), key="key")
    yield from _insert_version(project, key, 1, first, now)
    row = yield from load(project, skill_id)
    assert row is not None
    return row


def load(project: str, skill_id: str) -> Steps[SkillRow | None]:
    found = yield from one(Statement(f"{_SKILL} AND s.id = $2", (project, skill_id)))
    return SkillRow(*found) if found is not None else None


def list_skills(project: str, query: PageQuery) -> Steps[Page[SkillRow]]:
    wanted, values = "", [project, query.limit + 1]
    if query.after is not None:
        key = yield from _key(project, query.after)
        if key is None:
            raise UnknownCursor("skill", query.after)
        values.append(key)
        wanted = f"AND s.key {query.side} $3"
    sql = f"{_SKILL} {wanted} ORDER BY s.key {query.order} LIMIT $2"
    rows = [SkillRow(*row) for row in (yield Statement(sql, tuple(values)))]
    return query.page(rows)


def set_default(project: str, skill_id: str, number: int) -> Steps[bool]:
    yield from alone("containers", project)
    sql = """
        UPDATE skills SET default_version = $3
        WHERE project_id = $1 AND id = $2
            AND EXISTS (SELECT 1 FROM skill_versions WHERE skill = skills.key AND number = $3)
        RETURNING 1"""
    return (yield from changed(Statement(sql, (project, skill_id, number))))


def delete(project: str, skill_id: str) -> Steps[list[str] | None]:
    yield from alone("containers", project)
    key = yield from _key(project, skill_id)
    if key is None:
        return None
    used = yield Statement("DELETE FROM skill_versions WHERE skill = $1 RETURNING bundle", (key,))
    yield Statement("DELETE FROM skills WHERE key = $1", (key,))
    return (yield from bundles.drop_unused(bundle for (bundle,) in used))


# ---- versions ---------------------------------------------------------------------------------------


def add_version(project: str, skill_id: str, new: NewVersion, now: float) -> Steps[VersionRow | None]:
    yield from alone("containers", project)
    sql = """
        UPDATE skills SET last_number = last_number + 1 WHERE project_id = $1 AND id = $2
        RETURNING key, last_number"""
    found = yield from one(Statement(sql, (project, skill_id)))
    if found is None:
        return None
    key, number = found
    yield from _insert_version(project, key, number, new, now)
    return (yield from load_version(project, skill_id, number))


def load_version(project: str, skill_id: str, which: Which) -> Steps[VersionRow | None]:
    match which:
        case "latest":
            wanted = "v.number = (SELECT max(number) FROM skill_versions WHERE skill = s.key)"
        case "default":
            wanted = "v.number = s.default_version"
        case _:
            wanted = f"v.number = {which:d}"
    found = yield from one(Statement(f"{_VERSION} AND {wanted}", (project, skill_id)))
    return _version(found) if found is not None else None


def list_versions(project: str, skill_id: str, query: PageQuery) -> Steps[Page[VersionRow] | None]:
    if (yield from _key(project, skill_id)) is None:
        return None
    wanted, values = "", [project, skill_id, query.limit + 1]
    if query.after is not None:
        sql = f"{_VERSION} AND v.id = $3"
        found = yield from one(Statement(sql, (project, skill_id, query.after)))
        if found is None:
            raise UnknownCursor("version", query.after)
        values.append(_version(found).number)
        wanted = f"AND v.number {query.side} $4"
    sql = f"{_VERSION} {wanted} ORDER BY v.number {query.order} LIMIT $3"
    rows = [_version(row) for row in (yield Statement(sql, tuple(values)))]
    return query.page(rows)


def delete_version(project: str, skill_id: str, number: int) -> Steps[list[str] | None]:
    yield from alone("containers", project)
    sql = """
        SELECT s.key, s.default_version FROM skills AS s JOIN skill_versions AS v ON v.skill = s.key
        WHERE s.project_id = $1 AND s.id = $2 AND v.number = $3"""
    found = yield from one(Statement(sql, (project, skill_id, number)))
    if found is None:
        return None
    key, default = found
    if number == default:
        raise DefaultVersion(skill_id, number)
    sql = "DELETE FROM skill_versions WHERE skill = $1 AND number = $2 RETURNING bundle"
    used = yield Statement(sql, (key, number))
    return (yield from bundles.drop_unused(bundle for (bundle,) in used))


def _insert_version(project: str, skill: int, number: int, new: NewVersion, now: float) -> Steps[None]:
    bundle = yield from bundles.keep(project, new.bundle)
    into = "skill_versions (skill, number, id, created_at, bundle)"
    yield Insert(into, ((skill, number, new.id, int(now), bundle),))


def _key(project: str, skill_id: str) -> Steps[int | None]:
    sql = "SELECT key FROM skills WHERE project_id = $1 AND id = $2"
    found = yield from one(Statement(sql, (project, skill_id)))
    return found[0] if found is not None else None


def _version(values: Row) -> VersionRow:
    version_id, skill_id, number, created_at, name, description, sha256, size, blob = values
    bundle = Bundle(sha256=sha256, size=size, blob=blob, name=name, description=description, is_new=False)
    return VersionRow(version_id, skill_id, number, created_at, name, description, bundle)
