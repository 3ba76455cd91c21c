"""What a copy and a check have to know of the tables (`store/copying.py`, `store/wholeness.py`), as SQLite
says it."""

from collections.abc import Callable, Mapping

from antiphon.store.statements import Rows, Statement, Steps


def names() -> Steps[Rows]:
    return (yield Statement("SELECT name FROM sqlite_schema WHERE type = 'table'"))


def columns(table: str) -> Steps[Rows]:
    return (yield Statement("SELECT name FROM pragma_table_info($1)", (table,)))


def counter(table: str, key: str) -> Steps[Rows]:
    """Tables that never use a key again have theirs written down; in others the next key follows the
    largest."""
    if not (yield Statement("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'")):
        return []
    return (yield Statement("SELECT seq FROM sqlite_sequence WHERE name = $1", (table,)))


def count_on(table: str, key: str, last: int) -> Steps[Rows]:
    sql = "UPDATE sqlite_sequence SET seq = max(seq, $2) WHERE name = $1 RETURNING seq"
    if not (yield Statement(sql, (table, last))):
        autoincrement = "SELECT 1 FROM sqlite_schema WHERE name = $1 AND sql LIKE '%AUTOINCREMENT%'"
        if (yield Statement(autoincrement, (table,))):
            yield Statement("INSERT INTO sqlite_sequence (name, seq) VALUES ($1, $2)", (table, last))
    return []


def faults() -> Steps[Rows]:
    """Pages and indexes that do not fit each other, and rows that refer to rows that are not there."""
    found = yield Statement(
        "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'"
    )
    sql = """SELECT "table" || ' refers to rows of ' || parent || ' that are not there'
             FROM pragma_foreign_key_check GROUP BY "table", parent"""
    return found + (yield Statement(sql))


RULES: Mapping[str, Callable[..., Steps[Rows]]] = {
    "tables": names,
    "columns": columns,
    "counter": counter,
    "count_on": count_on,
    "faults": faults,
}
