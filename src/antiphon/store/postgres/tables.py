"""What a copy and a check have to know of the tables (`store/copying.py`, `store/wholeness.py`), as
PostgreSQL says it."""

from collections.abc import Callable, Mapping

from antiphon.store.statements import Rows, Statement, Steps

_SEQUENCE = "pg_get_serial_sequence($1, $2)"


def names() -> Steps[Rows]:
    sql = """
        SELECT CAST(relname AS TEXT) FROM pg_class
        WHERE relkind = 'r' AND relnamespace = CAST(current_schema() AS REGNAMESPACE)"""
    return (yield Statement(sql))


def columns(table: str) -> Steps[Rows]:
    sql = """
        SELECT CAST(attname AS TEXT) FROM pg_attribute
        WHERE attrelid = CAST(CAST($1 AS TEXT) AS REGCLASS) AND attnum > 0 AND NOT attisdropped
        ORDER BY attnum"""
    return (yield Statement(sql, (table,)))


def counter(table: str, key: str) -> Steps[Rows]:
    sql = f"SELECT pg_sequence_last_value(CAST({_SEQUENCE} AS REGCLASS))"
    return [row for row in (yield Statement(sql, (table, key))) if row[0] is not None]


def count_on(table: str, key: str, last: int) -> Steps[Rows]:
    sql = f"SELECT setval(CAST({_SEQUENCE} AS REGCLASS), $3)"
    return (yield Statement(sql, (table, key, last)))


def faults() -> Steps[Rows]:
    """Constraints and indexes that do not hold for all rows, as after a restoring that was broken off."""
    sql = """
        SELECT 'the constraint ' || conname || ' is not valid' FROM pg_constraint
        WHERE NOT convalidated AND connamespace = CAST(current_schema() AS REGNAMESPACE)
        UNION ALL
        SELECT 'the index ' || relname || ' is not valid' FROM pg_index JOIN pg_class ON oid = indexrelid
        WHERE NOT indisvalid AND relnamespace = CAST(current_schema() AS REGNAMESPACE)"""
    return (yield Statement(sql))


RULES: Mapping[str, Callable[..., Steps[Rows]]] = {
    "tables": names,
    "columns": columns,
    "counter": counter,
    "count_on": count_on,
    "faults": faults,
}
