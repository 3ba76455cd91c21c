"""Carries out rules on a SQLite connection."""

import re
import sqlite3
from functools import lru_cache
from itertools import chain
from typing import TypeVar

from antiphon.store.errors import AlreadyExists
from antiphon.store.sqlite import searches, tables
from antiphon.store.statements import Insert, Own, Rows, Statement, Steps

T = TypeVar("T")

_ROWS = 32
"""Rows in one statement: SQLite compiles one for each number of rows."""
_OWN = {**searches.RULES, **tables.RULES}
_TEXTS = 1024
"""Texts that are kept translated."""
_TAKEN = (sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY)


def drive(db: sqlite3.Connection, steps: Steps[T]) -> T:
    """The result of a rule. Within a transaction, which the caller begins and ends.

    Raises what the rule raises, AlreadyExists, and errors of the database.
    """
    cursor = db.cursor()
    send, execute, texts = steps.send, cursor.execute, _texts
    rows: Rows = None  # type: ignore[assignment]  # a generator begins with None
    try:
        while True:
            step = send(rows)
            if type(step) is Statement:
                rows = execute(texts[step.text], step.parameters).fetchall()
            elif type(step) is Insert:
                rows = _insert(cursor, step)
            elif type(step) is Own:
                rows = drive(db, _OWN[step.name](*step.arguments))
            else:
                rows = []  # nobody writes beside us
    except StopIteration as end:
        result: T = end.value
        return result
    except sqlite3.IntegrityError as error:
        if error.sqlite_errorcode in _TAKEN:
            raise AlreadyExists(str(error)) from error
        raise


class _Texts(dict[str, str]):
    """The texts of statements in SQLite's own words. The left side of its CROSS JOIN is read first."""

    def __missing__(self, text: str) -> str:
        if len(self) > _TEXTS:
            self.clear()
        own = re.sub(r"\$(\d+)", r"?\1", text.replace("/*ordered*/ JOIN", "CROSS JOIN"))
        return self.setdefault(text, own)


_texts = _Texts()


def _insert(cursor: sqlite3.Cursor, step: Insert) -> Rows:
    """Many rows in few statements, each of which costs as much as several rows. A statement numbers its rows
    one after another, so the keys are known from the last one (`RETURNING` would cost more than the rest).
    One that fails leaves what it wrote so far (FAIL): it goes with all else that the rule wrote, and to be
    able to take back this alone SQLite would copy every page before."""
    keys: Rows = []
    for first in range(0, len(step.rows), _ROWS):
        some = step.rows[first : first + _ROWS]
        sql = _insert_text(step.into, len(some), len(some[0]), step.conflict)
        cursor.execute(sql, tuple(chain.from_iterable(some)))
        if step.key:
            end = (cursor.lastrowid or 0) + 1
            keys += zip(range(end - cursor.rowcount, end))
    return keys


@lru_cache(_TEXTS)
def _insert_text(into: str, rows: int, columns: int, conflict: str) -> str:
    row = f"({', '.join('?' * columns)})"
    return f"INSERT OR FAIL INTO {into} VALUES {', '.join([row] * rows)} {conflict}"
