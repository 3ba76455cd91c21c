"""Counts what each project keeps, by triggers, as `sqlite/counting.py` does: exact after every write.

Each project has several rows that are added up, and a connection has one of them: so who writes for the same
project at once does not wait for one row. A trigger works once for a statement, however many rows it changes.
"""

import hashlib
from collections.abc import Iterator

from msgspec import Struct

from antiphon.store.statements import Statement, Steps

_PARTS = 32
_PREFIX = "stored_bytes_"


class _Counted(Struct, frozen=True):
    """A table whose rows have a size. `project` and `size` are SQL, in which `t` is the row."""

    table: str
    size: str
    project: str = "t.project_id"
    changes: bool = False
    """Whether the size of a row may change."""


_COUNTED = (
    _Counted("items", "length(t.json)"),
    _Counted("inline_data", "t.size"),
    _Counted("responses", "length(t.json)", changes=True),
    _Counted("conversations", "length(t.metadata)", changes=True),
    _Counted(
        "prompt_versions", "length(t.template)", "(SELECT project_id FROM prompts WHERE key = t.prompt)"
    ),
    _Counted("files", "t.size"),
    _Counted("vector_chunks", "octet_length(t.text) + length(t.vectors)"),
    _Counted("container_files", "t.size", changes=True),
    _Counted("skill_bundles", "t.size"),
    _Counted("upload_parts", "t.size", "(SELECT project_id FROM uploads WHERE key = t.upload)"),
)

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
    sizes = " UNION ALL ".join(_sizes(counted, counted.table, "") for counted in _COUNTED)
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


def _sizes(counted: _Counted, rows: str, sign: str) -> str:
    return f"SELECT {counted.project} AS project, {sign}({counted.size}) AS size FROM {rows} AS t"


def _triggers() -> Iterator[tuple[str, tuple[str, str]]]:
    """Each under a name that says how it counts, with the statements that make it."""
    for counted in _COUNTED:
        new, old = _sizes(counted, "new_rows", ""), _sizes(counted, "old_rows", "-")
        yield _trigger(counted, "INSERT", "NEW TABLE AS new_rows", new)
        yield _trigger(counted, "DELETE", "OLD TABLE AS old_rows", old)
        if counted.changes:
            both = "OLD TABLE AS old_rows NEW TABLE AS new_rows"
            yield _trigger(counted, "UPDATE", both, f"{new} UNION ALL {old}")


def _trigger(counted: _Counted, event: str, tables: str, sizes: str) -> tuple[str, tuple[str, str]]:
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
