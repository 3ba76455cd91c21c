"""Counts what each project keeps, by triggers, as `sqlite/counting.py` does: exact after every write.

Each project has several rows that are added up, and a connection has one of them: so who writes for the same
project at once does not wait for one row. A trigger works once for a statement, however many rows it changes.
"""

import hashlib
from collections.abc import Iterator

from antiphon.store.counted import COUNTED, Counted
from antiphon.store.statements import Statement, Steps

_PARTS = 32
_PREFIX = "stored_bytes_"


_ADD = """
    INSERT INTO stored_bytes (project_id, part, bytes)
    SELECT project, pg_backend_pid() % {parts}, sum(size) FROM ({sizes}) AS changed
    WHERE project IS NOT NULL GROUP BY project ORDER BY project
    ON CONFLICT (project_id, part) DO UPDATE SET bytes = stored_bytes.bytes + excluded.bytes"""


def stands(wanted: bool) -> Steps[bool]:
    """Whether all is as it is wanted: counted in the way that is written here, or not at all."""
    found = yield Statement("SELECT tgname FROM pg_trigger WHERE tgname LIKE $1", (f"{_PREFIX}%",))
    return {name for (name,) in found} == ({name for name, _ in _triggers()} if wanted else set())


def start() -> Steps[None]:
    """Count what there is, and all that comes from now on: to make a trigger waits for those who write, and
    lets nobody write before this is committed."""
    yield from stop()
    for _, statements in _triggers():
        for statement in statements:
            yield Statement(statement)
    sizes = " UNION ALL ".join(_sizes(counted, counted.table, "") for counted in COUNTED)
    yield Statement(_ADD.format(parts=_PARTS, sizes=sizes))


def stop() -> Steps[None]:
    """Count no longer, and forget what was counted."""
    sql = """
        SELECT t.tgname, c.relname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
        WHERE t.tgname LIKE $1 ORDER BY c.relname"""
    for name, table in (yield Statement(sql, (f"{_PREFIX}%",))):
        yield Statement(f"DROP TRIGGER {name} ON {table}")
        yield Statement(f"DROP FUNCTION {name}()")
    yield Statement("DELETE FROM stored_bytes")


def _sizes(counted: Counted, rows: str, sign: str) -> str:
    text = f"octet_length(t.{counted.text}) + " if counted.text else ""
    size = f"{text}{counted.size.format('t')}"
    return f"SELECT {counted.project.format('t')} AS project, {sign}({size}) AS size FROM {rows} AS t"


def _triggers() -> Iterator[tuple[str, tuple[str, str]]]:
    """Each under a name that says how it counts, with the statements that make it."""
    for counted in COUNTED:
        new, old = _sizes(counted, "new_rows", ""), _sizes(counted, "old_rows", "-")
        yield _trigger(counted, "INSERT", "NEW TABLE AS new_rows", new)
        yield _trigger(counted, "DELETE", "OLD TABLE AS old_rows", old)
        if counted.changes:
            both = "OLD TABLE AS old_rows NEW TABLE AS new_rows"
            yield _trigger(counted, "UPDATE", both, f"{new} UNION ALL {old}")


def _trigger(counted: Counted, event: str, tables: str, sizes: str) -> tuple[str, tuple[str, str]]:
    body = _ADD.format(parts=_PARTS, sizes=sizes)
    digest = hashlib.sha256(body.encode()).hexdigest()[:8]
    name = f"{_PREFIX}{counted.table}_{event.lower()}_{digest}"
    function = (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NULL; END $$"
    )
    trigger = (
        f"CREATE TRIGGER {name} AFTER {event} ON {counted.table} REFERENCING {tables}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
    )
    return name, (function, trigger)
