"""The words of what is searched in vector stores: a table of SQLite's full text search for each project.

How common a word is counts in a search. A table for all projects would show it of theirs too; one for each
store would make a database with many stores slow to open. In a project's table the chunks of a store are
neighbours: their keys are a range.
"""

from collections.abc import Sequence

from antiphon.retrieval import lexical
from antiphon.retrieval.lexical import Expression
from antiphon.store.statements import Insert, Statement, Steps, one

_MERGED = 64
"""Pages of the index that are written anew in one go."""

Words = tuple[int, str, str]
"""The key of a chunk, what it stands under, and its own part."""


def insert(project: str, rows: Sequence[Words]) -> Steps[None]:
    table = yield from _made(project)
    for key, about, own in rows:
        values = (key, lexical.indexed(about), lexical.indexed(own))
        yield Statement(lexical.INSERT.format(table=table), values)


def delete(project: str, rows: Sequence[Words]) -> Steps[None]:
    table = yield from _table(project)
    if table is None:
        return
    for key, about, own in rows:
        values = (key, lexical.indexed(about), lexical.indexed(own))
        yield Statement(lexical.DELETE.format(table=table), values)


def find(
    project: str,
    expression: Expression,
    keys: tuple[int, int],
    allowed: str,
    values: tuple[object, ...],
    count: int,
) -> Steps[dict[int, float]]:
    """The best chunks with their bm25. `keys`: from the first on, and below the second; `allowed`: SQL that
    is true of the chunk `{key}` when it may be found, with parameters from `$5` on."""
    table = yield from _table(project)
    if table is None:
        return {}
    counts = []
    for term in expression.terms:
        sql = f"{lexical.COUNT.format(table=table)} AND rowid >= $2 AND rowid < $3"
        ((rows,),) = yield Statement(sql, (term, *keys))
        counts.append(rows)
    sql = f"""
        SELECT rowid, -rank FROM {table}
        WHERE {table} MATCH $1 AND rowid >= $2 AND rowid < $3 AND ({allowed.format(key=f"{table}.rowid")})
        ORDER BY rank LIMIT $4"""
    return dict((yield Statement(sql, (expression.affordable(counts), *keys, count, *values))))


def forget(project: str) -> Steps[bool]:
    """What was deleted is only marked so, until the index is written anew: a part of it is, here. Gives
    whether there is more to do."""
    table = yield from _table(project)
    if table is None:
        return False
    ((before,),) = yield Statement("SELECT total_changes()")
    yield Statement(f"INSERT INTO {table}({table}, rank) VALUES ('merge', $1)", (-_MERGED,))
    ((after,),) = yield Statement("SELECT total_changes()")
    return bool(after - before > 1)


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
