"""Prompt templates in SQLite."""

import sqlite3

from antiphon.protocol.errors import InvalidRequest, NotFound
from antiphon.store.base import PageQuery
from antiphon.store.prompts import PromptChange, PromptPage, PromptRow
from antiphon.store.sqlite_connection import Readers, Writer

_SELECT = """
    SELECT p.id, p.created_at, p.name, v.version, p.default_version, v.template
    FROM prompts AS p JOIN prompt_versions AS v ON v.prompt = p.key"""


class SqlitePrompts:
    """`Prompts` in the file of a `SqliteStore`."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def create(self, project: str, row: PromptRow) -> None:
        await self._writer.run(lambda db: _create(db, project, row))

    async def get(self, project: str, prompt_id: str, version: int | None = None) -> PromptRow | None:
        return self._readers.now(lambda db: _load(db, project, prompt_id, version))

    async def update(self, project: str, prompt_id: str, change: PromptChange) -> PromptRow | None:
        return await self._writer.run(lambda db: _update(db, project, prompt_id, change))

    async def delete(self, project: str, prompt_id: str) -> bool:
        sql = "DELETE FROM prompts WHERE project_id = ? AND id = ?"
        return await self._writer.run(lambda db: db.execute(sql, (project, prompt_id)).rowcount == 1)

    async def page(self, project: str, query: PageQuery) -> PromptPage:
        return self._readers.now(lambda db: _page(db, project, query))

    async def versions(self, project: str, prompt_id: str, query: PageQuery) -> PromptPage | None:
        return self._readers.now(lambda db: _versions(db, project, prompt_id, query))


def _create(db: sqlite3.Connection, project: str, row: PromptRow) -> None:
    sql = "INSERT INTO prompts (project_id, id, created_at, name, default_version) VALUES (?, ?, ?, ?, ?)"
    key = db.execute(sql, (project, row.id, row.created_at, row.name, row.default_version)).lastrowid
    _add_version(db, key, row.version, row.template)


def _load(db: sqlite3.Connection, project: str, prompt_id: str, version: int | None) -> PromptRow | None:
    sql = f"{_SELECT} AND v.version = coalesce(?, p.default_version) WHERE p.project_id = ? AND p.id = ?"
    found = db.execute(sql, (version, project, prompt_id)).fetchone()
    return PromptRow(*found) if found is not None else None


def _update(db: sqlite3.Connection, project: str, prompt_id: str, change: PromptChange) -> PromptRow | None:
    key = _key(db, project, prompt_id)
    if key is None:
        return None
    newest = int(
        db.execute("SELECT max(version) FROM prompt_versions WHERE prompt = ?", (key,)).fetchone()[0]
    )
    default = change.default_version
    if default is not None and not 1 <= default <= newest:
        raise InvalidRequest(
            f"The prompt has no version '{default}': its newest is '{newest}'.",
            param="default_version",
            code="invalid_value",
        )
    made = None
    if change.template is not None:
        made = newest + 1
        _add_version(db, key, made, change.template)
    sql = """
        UPDATE prompts SET name = coalesce(?, name), default_version = coalesce(?, default_version)
        WHERE key = ?"""
    db.execute(sql, (change.name, default or made, key))
    return _load(db, project, prompt_id, made)


def _page(db: sqlite3.Connection, project: str, query: PageQuery) -> PromptPage:
    after = None
    if query.after is not None:
        after = _key(db, project, query.after)
        if after is None:
            raise _no_cursor(query.after)
    side, order = _direction(query)
    sql = f"""{_SELECT} AND v.version = p.default_version
        WHERE p.project_id = ? AND (?2 IS NULL OR p.key {side} ?2) ORDER BY p.key {order} LIMIT ?"""
    return _cut(db, sql, (project, after, query.limit + 1), query.limit)


def _versions(db: sqlite3.Connection, project: str, prompt_id: str, query: PageQuery) -> PromptPage | None:
    key = _key(db, project, prompt_id)
    if key is None:
        return None
    after = None
    if query.after is not None:
        known = query.after.isascii() and query.after.isdigit() and len(query.after) < 10
        after = int(query.after) if known else None
        sql = "SELECT 1 FROM prompt_versions WHERE prompt = ? AND version = ?"
        if after is None or db.execute(sql, (key, after)).fetchone() is None:
            raise _no_cursor(query.after)
    side, order = _direction(query)
    sql = f"""{_SELECT}
        WHERE p.key = ? AND (?2 IS NULL OR v.version {side} ?2) ORDER BY v.version {order} LIMIT ?"""
    return _cut(db, sql, (key, after, query.limit + 1), query.limit)


def _cut(db: sqlite3.Connection, sql: str, values: tuple[str | int | None, ...], limit: int) -> PromptPage:
    rows = [PromptRow(*row) for row in db.execute(sql, values)]
    return PromptPage(rows[:limit], more=len(rows) > limit)


def _direction(query: PageQuery) -> tuple[str, str]:
    return (">", "ASC") if query.order == "asc" else ("<", "DESC")


def _key(db: sqlite3.Connection, project: str, prompt_id: str) -> int | None:
    sql = "SELECT key FROM prompts WHERE project_id = ? AND id = ?"
    found = db.execute(sql, (project, prompt_id)).fetchone()
    return int(found[0]) if found is not None else None


def _add_version(db: sqlite3.Connection, key: int | None, version: int, template: bytes) -> None:
    sql = "INSERT INTO prompt_versions (prompt, version, template) VALUES (?, ?, ?)"
    db.execute(sql, (key, version, template))


def _no_cursor(after: str) -> NotFound:
    return NotFound(f"Nothing with id '{after}' is in this list.", param="after")
