"""Carries out rules on a connection to PostgreSQL."""

import re
from typing import Any, TypeVar

from psycopg import AsyncCursor

from antiphon.store.postgres import searches, tables
from antiphon.store.postgres.connections import Connection
from antiphon.store.statements import Insert, Lock, Own, Rows, Statement, Steps, placeholders

T = TypeVar("T")

_OWN = {**searches.RULES, **tables.RULES}
_TEXTS = 1024
"""Texts that are kept translated."""

Cursor = AsyncCursor[tuple[Any, ...]]


async def drive(connection: Connection, steps: Steps[T]) -> T:
    """The result of a rule. Within a transaction, which the caller begins and ends.

    Raises what the rule raises, and psycopg.Error.
    """
    send, cursor = steps.send, connection.cursor(binary=True)
    rows: Rows = None  # type: ignore[assignment]  # a generator begins with None
    try:
        while True:
            step = send(rows)
            if type(step) is Insert:
                rows = await _insert(cursor, step)
            elif type(step) is Own:
                rows = await drive(connection, _OWN[step.name](*step.arguments))
            elif type(step) is Statement or type(step) is Lock:
                rows = await execute(cursor, _texts[step.text], step.parameters)
    except StopIteration as end:
        result: T = end.value
        return result


class Several(Exception):
    """A rule has more than one statement."""


async def drive_one(connection: Connection, steps: Steps[T]) -> T:
    """The result of a rule that has one statement, which is a transaction. Raises Several."""
    rows: Rows = None  # type: ignore[assignment]  # a generator begins with None
    try:
        step = steps.send(rows)
        if type(step) is not Statement:
            raise Several
        rows = await execute(connection.cursor(binary=True), _texts[step.text], step.parameters)
        steps.send(rows)
    except StopIteration as end:
        result: T = end.value
        return result
    steps.close()
    raise Several


async def execute(cursor: Cursor, text: str, parameters: tuple[Any, ...]) -> Rows:
    await cursor.execute(text, parameters)
    return await cursor.fetchall() if cursor.description is not None else []


class _Texts(dict[str, str]):
    """The texts of statements in PostgreSQL's own words. It plans the order of joins itself."""

    def __missing__(self, text: str) -> str:
        if len(self) > _TEXTS:
            self.clear()
        own = re.sub(r"/\*!(.*?)\*/", r"\1", text.replace("/*ordered*/", ""), flags=re.DOTALL)
        return self.setdefault(text, own)


_texts = _Texts()


# ---- many rows --------------------------------------------------------------------------------------

_columns: dict[str, str] = {}
"""By the table and its columns: `$1::text[], $2::bigint[]`, as the database has them."""


async def _insert(cursor: Cursor, step: Insert) -> Rows:
    """One row as it is, several as one array for each column: one text, however many they are."""
    returning = f"RETURNING {step.key}" if step.key else ""
    if len(step.rows) == 1:
        values = placeholders(1, len(step.rows[0]))
        text = f"INSERT INTO {step.into} VALUES ({values}) {step.conflict} {returning}"
        return await execute(cursor, text, step.rows[0])
    if not step.rows:
        return []
    arrays = _columns.get(step.into) or await _arrays_of(cursor, step.into)
    # The order of the rows is that of their keys.
    text = f"INSERT INTO {step.into} SELECT * FROM unnest({arrays}) {step.conflict} {returning}"
    return await execute(cursor, text, tuple(list(column) for column in zip(*step.rows, strict=True)))


async def _arrays_of(cursor: Cursor, into: str) -> str:
    table, _, names = into.partition("(")
    sql = """
        SELECT attname, format_type(atttypid, NULL) FROM pg_attribute
        WHERE attrelid = CAST($1 AS regclass) AND attnum > 0"""
    types: dict[str, str] = dict(await execute(cursor, sql, (table.strip(),)))
    named = [name.strip() for name in names.rstrip(") \n").split(",")]
    arrays = ", ".join(f"CAST(${n} AS {types[name]}[])" for n, name in enumerate(named, start=1))
    return _columns.setdefault(into, arrays)
