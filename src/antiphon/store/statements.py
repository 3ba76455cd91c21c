"""Rules apart from what carries them out.

A *rule* of what is kept is a function without any I/O. It yields statements and is sent the rows of each,
so it can read, decide and write without knowing who executes SQL, and a rule is part of another one by
`yield from`. All that one rule yields happens in one transaction. SQLite drives rules in its writer thread
(`sqlite/driver.py`); a driver for another database is a loop of ten lines.

Texts are written for both SQLite and PostgreSQL:

- Parameters are `$1`, `$2` and so on, and may be used several times. Where the type of one cannot be seen
  from its place (it may be None, or is used as two types), the text casts it: TEXT, BIGINT, DOUBLE PRECISION.
- What a statement changed is seen by RETURNING. A rule is sent rows and nothing else.
- A truth is the integer 0 or 1.
- `/*ordered*/ JOIN` is a hint: the left side is read first. A database with a planner of its own ignores it.
- Many rows are inserted by `Insert`, which each database does in the way that is cheapest there.
- What has no common text (full text search) is an `Own`, a rule that each home writes for itself.

SQLite has one writer at a time. Elsewhere rules run side by side, each statement sees what was committed when
it began, and a rule that decides by what it read has to hold on to that until it ends:

- `/*! FOR KEY SHARE OF r */`: what stands in such a comment is read there, and by SQLite not.
- A `Lock` is a statement that is carried out only there. `alone` makes a rule the only one of its kind.
- A rule may have to be carried out again when two met, so what it holds need not be in an order.
"""

from collections.abc import Generator, Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

from msgspec import Struct

T = TypeVar("T")

Row: TypeAlias = tuple[Any, ...]
Rows: TypeAlias = list[Row]


class Statement(Struct, frozen=True, gc=False):
    """One SQL statement. It is answered with its rows."""

    text: str
    parameters: tuple[Any, ...] = ()


class Insert(Struct, frozen=True, gc=False):
    """Rows for a table. It is answered with the keys of the new rows, in their order."""

    into: str
    """The table and its columns: `threads (project_id, next_position)`."""
    rows: Sequence[tuple[Any, ...]]
    key: str = ""
    """The column that numbers the rows; empty: no keys are wanted."""
    conflict: str = ""
    """`ON CONFLICT DO NOTHING`: rows that are there already are left out."""


class Own(Struct, frozen=True, gc=False):
    """A rule that each home has in a way of its own, since no two databases do it alike. It is answered with
    what that rule gives."""

    name: str
    """Its name among the `RULES` of the home."""
    arguments: tuple[Any, ...]


class Lock(Struct, frozen=True, gc=False):
    """A statement that takes locks, where several write at once. What it waited for, the next statement
    sees."""

    text: str
    parameters: tuple[Any, ...] = ()


Step: TypeAlias = Statement | Insert | Own | Lock
Steps: TypeAlias = Generator[Step, Rows, T]
"""What a rule is when it is called: statements to carry out, and in the end its result."""


def one(statement: Statement) -> Steps[Row | None]:
    """The only row of a statement, or None."""
    rows = yield statement
    return rows[0] if rows else None


def changed(statement: Statement) -> Steps[bool]:
    """Whether the statement, which has a RETURNING, changed anything."""
    rows = yield statement
    return bool(rows)


def alone(kind: str, project: str) -> Steps[None]:
    """From here to the end of the rule no other of this kind and project runs beside it: for what is decided
    by much that was read, and does not happen often."""
    yield Lock("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", (f"{kind} {project}",))


_AT_ONCE = 32
"""Values in one statement: few forms of it are to be prepared."""


def portions(values: Sequence[T]) -> Iterator[tuple[T, ...]]:
    """The values, as many at a time as one statement names."""
    for first in range(0, len(values), _AT_ONCE):
        yield tuple(values[first : first + _AT_ONCE])


def rows_named(select: str, project: str, names: Sequence[Any]) -> Steps[list[Row]]:
    """The rows of a project that have one of the names, some at a time. `select` goes up to the column of
    these: `SELECT a FROM t WHERE project_id = $1 AND b`."""
    found: list[Row] = []
    for some in portions(names):
        found += yield Statement(f"{select} IN ({placeholders(2, len(some))})", (project, *some))
    return found


def placeholders(first: int, count: int) -> str:
    """`$3, $4, $5` for `first` 3 and `count` 3: as many parameters as a list has values."""
    return ", ".join(f"${number}" for number in range(first, first + count))
