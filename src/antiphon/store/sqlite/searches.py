"""Searches in vector stores as SQLite does them: words in an FTS5 table for each project, and attributes.

How common a word is counts in a search. A table for all projects would show it of theirs too; one for each
store would make a database with many stores slow to open. In a project's table the chunks of a store are
neighbours: their keys are a range.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from antiphon.retrieval import filters, lexical
from antiphon.retrieval.filters import Filter
from antiphon.retrieval.lexical import Expression
from antiphon.store import vector_chunks
from antiphon.store.statements import Insert, Rows, Statement, Steps, one
from antiphon.store.vector_words import Words

_MERGED = 64
"""Pages of the index that are written anew in one go."""


def insert(project: str, entry: int, rows: Sequence[Words]) -> Steps[Rows]:
    table = yield from _made(project)
    for key, about, own in rows:
        values = (key, lexical.indexed(about), lexical.indexed(own))
        yield Statement(lexical.INSERT.format(table=table), values)
    return []


def delete(project: str, rows: Sequence[Words]) -> Steps[Rows]:
    table = yield from _table(project)
    if table is not None:
        for key, about, own in rows:
            values = (key, lexical.indexed(about), lexical.indexed(own))
            yield Statement(lexical.DELETE.format(table=table), values)
    return []


def find(
    project: str, store: int, expression: Expression, count: int, entries: Sequence[int] | None
) -> Steps[Rows]:
    table = yield from _table(project)
    if table is None:
        return []
    keys = vector_chunks.keys_of(store)
    counts = []
    for term in expression.terms:
        sql = f"{lexical.COUNT.format(table=table)} AND rowid >= $2 AND rowid < $3"
        ((rows,),) = yield Statement(sql, (term, *keys))
        counts.append(rows)
    among = "AND f.key IN (SELECT value FROM json_each($5))" if entries is not None else ""
    values = (msgspec.json.encode(entries).decode(),) if entries is not None else ()
    sql = f"""
        SELECT rowid, -rank FROM {table}
        WHERE {table} MATCH $1 AND rowid >= $2 AND rowid < $3 AND EXISTS (
            SELECT 1 FROM vector_chunks AS c JOIN vector_store_files AS f ON f.key = c.entry
            WHERE c.key = {table}.rowid AND f.status = 'completed' {among})
        ORDER BY rank LIMIT $4"""
    return (yield Statement(sql, (expression.affordable(counts), *keys, count, *values)))


def forget(project: str) -> Steps[Rows]:
    """What was deleted is only marked so, until the index is written anew: a part of it is, here."""
    table = yield from _table(project)
    if table is None:
        return []
    ((before,),) = yield Statement("SELECT total_changes()")
    yield Statement(f"INSERT INTO {table}({table}, rank) VALUES ('merge', $1)", (-_MERGED,))
    ((after,),) = yield Statement("SELECT total_changes()")
    return [(True,)] if after - before > 1 else []


def fitting(store: int, wanted: Filter) -> Steps[Rows]:
    sql = filters.condition(wanted, "f.attributes", 2)
    text = f"""
        SELECT f.key FROM vector_store_files AS f
        WHERE f.store = $1 AND f.status = 'completed' AND ({sql.text})"""
    return (yield Statement(text, (store, *sql.parameters)))


RULES: Mapping[str, Callable[..., Steps[Rows]]] = {
    "insert_words": insert,
    "delete_words": delete,
    "find_words": find,
    "forget_words": forget,
    "fitting": fitting,
}
"""What `vector_words` and `vector_chunks` leave to a home."""


def _table(project: str) -> Steps[str | None]:
    found = yield from one(Statement("SELECT key FROM vector_words WHERE project_id = $1", (project,)))
    return None if found is None else f"words_{found[0]}"


def _made(project: str) -> Steps[str]:
    table = yield from _table(project)
    if table is not None:
        return table
    ((key,),) = yield Insert("vector_words (project_id)", ((project,),), key="key")
    table = f"words_{key}"
    yield Statement(lexical.CREATE.format(table=table))
    yield Statement(lexical.RANK.format(table=table))
    return table
