"""Prompt templates, as they are kept: a prompt has a name, a default and versions, counted from 1."""

from msgspec import Struct

from antiphon.store.database import Database
from antiphon.store.errors import UnknownCursor, UnknownVersion
from antiphon.store.paging import Page, PageQuery
from antiphon.store.statements import Insert, Statement, Steps, alone, changed, one


class PromptRow(Struct, frozen=True):
    """A prompt in one of its versions."""

    id: str
    created_at: int
    name: str | None
    version: int
    default_version: int
    template: bytes
    """JSON."""


class PromptChange(Struct, frozen=True):
    """What changes of a prompt; None: stays."""

    name: str | None = None
    template: bytes | None = None
    """That of a new version, which becomes the default unless there is another."""
    default_version: int | None = None


class Prompts:
    """Rows belong to a project. What is not there is None, or False from a delete."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, project: str, row: PromptRow) -> None:
        await self._database.write(create, project, row)

    async def get(self, project: str, prompt_id: str, version: int | None = None) -> PromptRow | None:
        """The prompt in a version; None: the default one."""
        return await self._database.read(load, project, prompt_id, version)

    async def update(self, project: str, prompt_id: str, change: PromptChange) -> PromptRow | None:
        """The prompt in the version that is new, or else the default.

        Raises UnknownVersion for a default version that there is not.
        """
        return await self._database.write(update, project, prompt_id, change)

    async def delete(self, project: str, prompt_id: str) -> bool:
        """Forget the prompt, with all its versions."""
        return await self._database.write(delete, project, prompt_id)

    async def page(self, project: str, query: PageQuery) -> Page[PromptRow]:
        """Prompts by creation, each in its default version. Raises UnknownCursor."""
        return await self._database.read_long(list_prompts, project, query)

    async def versions(self, project: str, prompt_id: str, query: PageQuery) -> Page[PromptRow] | None:
        """The versions of a prompt; a cursor is the number of one. Raises UnknownCursor."""
        return await self._database.read_long(list_versions, project, prompt_id, query)


_SELECT = """
    SELECT p.id, p.created_at, p.name, v.version, p.default_version, v.template
    FROM prompts AS p JOIN prompt_versions AS v ON v.prompt = p.key"""


def create(project: str, row: PromptRow) -> Steps[None]:
    into = "prompts (project_id, id, created_at, name, default_version)"
    values = (project, row.id, row.created_at, row.name, row.default_version)
    ((key,),) = yield Insert(into, (values,), key="key")
    yield from _add_version(key, row.version, row.template)


def load(project: str, prompt_id: str, version: int | None) -> Steps[PromptRow | None]:
    sql = f"""{_SELECT} AND v.version = coalesce(CAST($1 AS BIGINT), p.default_version)
        WHERE p.project_id = $2 AND p.id = $3"""
    found = yield from one(Statement(sql, (version, project, prompt_id)))
    return PromptRow(*found) if found is not None else None


def update(project: str, prompt_id: str, change: PromptChange) -> Steps[PromptRow | None]:
    yield from alone("prompts", project)
    key = yield from _key(project, prompt_id)
    if key is None:
        return None
    ((newest,),) = yield Statement("SELECT max(version) FROM prompt_versions WHERE prompt = $1", (key,))
    default = change.default_version
    if default is not None and not 1 <= default <= newest:
        raise UnknownVersion(default, newest)
    made = None
    if change.template is not None:
        made = newest + 1
        yield from _add_version(key, made, change.template)
    sql = """
        UPDATE prompts
        SET name = coalesce(CAST($1 AS TEXT), name),
            default_version = coalesce(CAST($2 AS BIGINT), default_version)
        WHERE key = $3"""
    yield Statement(sql, (change.name, default or made, key))
    return (yield from load(project, prompt_id, made))


def delete(project: str, prompt_id: str) -> Steps[bool]:
    """The versions first: whose they are is known as long as the prompt is there (`usage`)."""
    yield from alone("prompts", project)
    key = yield from _key(project, prompt_id)
    if key is None:
        return False
    yield Statement("DELETE FROM prompt_versions WHERE prompt = $1", (key,))
    return (yield from changed(Statement("DELETE FROM prompts WHERE key = $1 RETURNING 1", (key,))))


def list_prompts(project: str, query: PageQuery) -> Steps[Page[PromptRow]]:
    after = None
    if query.after is not None:
        after = yield from _key(project, query.after)
        if after is None:
            raise UnknownCursor("prompt", query.after)
    sql = f"""{_SELECT} AND v.version = p.default_version
        WHERE p.project_id = $1 AND (CAST($2 AS BIGINT) IS NULL OR p.key {query.side} $2)
        ORDER BY p.key {query.order} LIMIT $3"""
    return (yield from _page(Statement(sql, (project, after, query.limit + 1)), query))


def list_versions(project: str, prompt_id: str, query: PageQuery) -> Steps[Page[PromptRow] | None]:
    key = yield from _key(project, prompt_id)
    if key is None:
        return None
    after = None
    if query.after is not None:
        after = yield from _version(key, query.after)
    sql = f"""{_SELECT}
        WHERE p.key = $1 AND (CAST($2 AS BIGINT) IS NULL OR v.version {query.side} $2)
        ORDER BY v.version {query.order} LIMIT $3"""
    return (yield from _page(Statement(sql, (key, after, query.limit + 1)), query))


def _page(statement: Statement, query: PageQuery) -> Steps[Page[PromptRow]]:
    return query.page([PromptRow(*row) for row in (yield statement)])


def _key(project: str, prompt_id: str) -> Steps[int | None]:
    sql = "SELECT key FROM prompts WHERE project_id = $1 AND id = $2"
    found = yield from one(Statement(sql, (project, prompt_id)))
    return int(found[0]) if found is not None else None


def _version(key: int, cursor: str) -> Steps[int]:
    """The version that a cursor names. Raises UnknownCursor."""
    if cursor.isascii() and cursor.isdigit() and len(cursor) < 10:
        sql = "SELECT version FROM prompt_versions WHERE prompt = $1 AND version = $2"
        found = yield from one(Statement(sql, (key, int(cursor))))
        if found is not None:
            return int(found[0])
    raise UnknownCursor("version", cursor)


def _add_version(key: int, version: int, template: bytes) -> Steps[None]:
    yield Insert("prompt_versions (prompt, version, template)", ((key, version, template),))
