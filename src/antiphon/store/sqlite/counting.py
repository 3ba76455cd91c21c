"""Counts what each project keeps, by triggers: so it is exact after every write, whichever rule, process or
sweep makes it, and costs nothing where nobody asks for it.

Each write brings the table `stored_bytes` up to date in its own transaction, so a crash cannot come between.
Where the counting has ended the table stays, empty: a process that still has a bound may look into it.
"""

from collections.abc import Iterator

from antiphon.store.counted import COUNTED, Counted
from antiphon.store.statements import Statement, Steps

_TABLE = (
    "CREATE TABLE IF NOT EXISTS stored_bytes (project_id TEXT PRIMARY KEY, bytes INTEGER NOT NULL)"
    " STRICT, WITHOUT ROWID"
)
_ADD = """
    INSERT INTO stored_bytes (project_id, bytes) VALUES ({project}, {size})
    ON CONFLICT (project_id) DO UPDATE SET bytes = bytes + excluded.bytes"""
_CHANGE = "UPDATE stored_bytes SET bytes = bytes + {size} WHERE project_id = {project}"
_PREFIX = "stored_bytes_"


def stands(wanted: bool) -> Steps[bool]:
    """Whether all is as it is wanted: counted in the way that is written here, or not at all."""
    sql = "SELECT sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE $1"
    found = yield Statement(sql, (f"{_PREFIX}%",))
    return {text for (text,) in found} == (set(_triggers()) if wanted else set())


def start() -> Steps[None]:
    """Count what there is, and all that comes from now on."""
    yield from stop()
    sizes = " UNION ALL ".join(
        f"SELECT {counted.project.format('t')} AS project_id, {_size(counted, 't')} AS size"
        f" FROM {counted.table} AS t"
        for counted in COUNTED
    )
    yield Statement(
        f"INSERT INTO stored_bytes SELECT project_id, sum(size) FROM ({sizes}) GROUP BY project_id"
    )
    for trigger in _triggers():
        yield Statement(trigger)


def stop() -> Steps[None]:
    """Count no longer, and forget what was counted."""
    sql = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE $1"
    for (name,) in (yield Statement(sql, (f"{_PREFIX}%",))):
        yield Statement(f"DROP TRIGGER {name}")
    yield Statement(_TABLE)
    yield Statement("DELETE FROM stored_bytes")


def _size(counted: Counted, row: str) -> str:
    size = counted.size.format(row)
    return f"(length(CAST({row}.{counted.text} AS BLOB)) + {size})" if counted.text else size


def _triggers() -> Iterator[str]:
    for counted in COUNTED:
        new, old = _size(counted, "NEW"), _size(counted, "OLD")
        yield _trigger(counted, "INSERT", _ADD, "NEW", new)
        yield _trigger(counted, "DELETE", _CHANGE, "OLD", f"-{old}")
        if counted.changes:
            yield _trigger(counted, f"UPDATE OF {counted.changes}", _CHANGE, "NEW", f"{new} - {old}")


def _trigger(counted: Counted, event: str, then: str, row: str, size: str) -> str:
    name = f"{_PREFIX}{counted.table}_{event.partition(' ')[0].lower()}"
    statement = then.format(project=counted.project.format(row), size=size).strip()
    return f"CREATE TRIGGER {name} AFTER {event} ON {counted.table} BEGIN {statement}; END"
