"""Zips of skills. Whatever has the same content in a project shares one, however often it is sent; it goes
when no version of a skill and no container uses it."""

from collections.abc import Iterable

from msgspec import Struct

from antiphon.store.database import Database
from antiphon.store.errors import UnknownBundle
from antiphon.store.statements import Insert, Statement, Steps, one


class Bundle(Struct, frozen=True, kw_only=True):
    """A zip that was looked at."""

    sha256: bytes
    size: int
    blob: str
    """Where its bytes are."""
    name: str
    description: str
    is_new: bool = True
    """False: it was found in the store."""


class Bundles:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, project: str, sha256: bytes) -> Bundle | None:
        """What the project has with this content."""
        return await self._database.read(find, project, sha256)


def find(project: str, sha256: bytes) -> Steps[Bundle | None]:
    sql = """
        SELECT sha256, size, blob, name, description FROM skill_bundles
        WHERE project_id = $1 AND sha256 = $2"""
    found = yield from one(Statement(sql, (project, sha256)))
    if found is None:
        return None
    same, size, blob, name, description = found
    return Bundle(sha256=same, size=size, blob=blob, name=name, description=description, is_new=False)


def keep(project: str, bundle: Bundle) -> Steps[int]:
    """The key of what has this content: of this bundle, if nothing has it. Raises UnknownBundle for one that
    was found, and is gone."""
    sql = "SELECT key FROM skill_bundles WHERE project_id = $1 AND sha256 = $2"
    found = yield from one(Statement(sql, (project, bundle.sha256)))
    if found is not None:
        return int(found[0])
    if not bundle.is_new:
        raise UnknownBundle(bundle.blob)
    into = "skill_bundles (project_id, sha256, size, blob, name, description)"
    row = (project, bundle.sha256, bundle.size, bundle.blob, bundle.name, bundle.description)
    ((key,),) = yield Insert(into, (row,), key="key")
    return int(key)


def drop_unused(bundles: Iterable[int]) -> Steps[list[str]]:
    """Those of the bundles go that nothing uses. Gives where their bytes are."""
    gone: list[str] = []
    for key in set(bundles):
        sql = """
            DELETE FROM skill_bundles
            WHERE key = $1 AND NOT EXISTS (SELECT 1 FROM skill_versions WHERE bundle = $1)
                AND NOT EXISTS (SELECT 1 FROM container_skills WHERE bundle = $1)
            RETURNING blob"""
        gone += [blob for (blob,) in (yield Statement(sql, (key,)))]
    return gone
