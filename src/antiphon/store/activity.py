"""Activity: one narrow row for each response that ended, without content.

It is what lists of responses, usage, limits and the dashboard read. A row is written in the transaction that
saves the response or ends its run, and also for responses that are not stored: those are noted without
waiting, together with what is written next. It outlives its response, until retention takes it.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import astuple

from antiphon.store.database import Database
from antiphon.store.errors import UnknownCursor
from antiphon.store.paging import Page
from antiphon.store.statements import Insert, Row, Statement, Steps, one


class ActivityRow(Struct, frozen=True, kw_only=True):
    """What became of one response."""

    project: str
    response_id: str
    created_at: int
    """Seconds since the epoch."""
    ended_at: float
    """Seconds since the epoch."""
    model: str
    """As it was asked for."""
    backend: str | None = None
    """The name of the backend that answered."""
    status: str
    error_code: str | None = None
    """Of a failed response; the reason of an incomplete one."""
    input_tokens: int = 0
    cached_tokens: int = 0
    """Of the input."""
    output_tokens: int = 0
    reasoning_tokens: int = 0
    """Of the output."""
    milliseconds: int = 0
    """From the request to the end; of one in the background to the second."""
    first_milliseconds: int | None = None
    """From the request to the first of the output; None: there was none."""
    tools: Sequence[str] = ()
    """The types of the calls that were made, each once."""
    conversation_id: str | None = None
    api_key: str | None = None
    """The name of the key that it was asked with."""
    stored: bool = True
    background: bool = False


class ActivityEntry(Struct, frozen=True):
    """A row as it is listed. `key` is the cursor behind it."""

    key: int
    row: ActivityRow


class ActivityQuery(Struct, frozen=True, kw_only=True):
    """Which rows, the newest end first. None: whatever it is."""

    project: str | None = None
    """None: of all projects."""
    response_id: str | None = None
    status: str | None = None
    model: str | None = None
    backend: str | None = None
    conversation_id: str | None = None
    api_key: str | None = None
    tool: str | None = None
    """The type of a call that was made."""
    since: float | None = None
    """Ended at this time or later: seconds since the epoch."""
    until: float | None = None
    """Ended before."""
    after: int | None = None
    """Behind the entry with this key."""
    limit: int = 50


class UsageRow(Struct, frozen=True, kw_only=True):
    """What responses of a day used that have the same model and key."""

    day: int
    """Since the epoch, in UTC."""
    model: str
    api_key: str | None
    requests: int
    failures: int
    input_tokens: int
    cached_tokens: int
    """Of the input."""
    output_tokens: int


class Usage(Struct, frozen=True):
    """`more`: there are so many models and keys that the least used ones are left out."""

    rows: Sequence[UsageRow]
    more: bool


class Activity:
    """The activity of all projects."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, row: ActivityRow) -> None:
        """Write the row with the next transaction, within a second; a crash may lose it. For a response of
        which nothing else is written. To be called in the event loop."""
        self._database.later(record_all, row)

    async def page(self, query: ActivityQuery) -> Page[ActivityEntry]:
        """Raises UnknownCursor."""
        return await self._database.read_long(load_page, query)

    async def usage(self, project: str, since: int) -> Usage:
        """What responses of a project used that ended on this day (since the epoch, in UTC) or later."""
        return await self._database.read_long(load_usage, project, since)

    async def expire(self, before: float, limit: int) -> int:
        """Delete rows of responses that ended before (seconds since the epoch), the oldest first and at most
        `limit`; gives how many went."""
        return await self._database.write(expire, before, limit)


COLUMNS = (
    "project_id, response_id, created_at, ended_at, model, backend, status, error_code, input_tokens,"
    " cached_tokens, output_tokens, reasoning_tokens, milliseconds, first_milliseconds, tools,"
    " conversation_id, api_key, stored, background"
)
_MOST_USES = 5000
"""Days with their models and keys that are counted, the most used ones."""
_SPECIAL = re.compile(r"[%_\\]")
"""What means something else in LIKE."""
_FILTERS = {
    "project": "project_id =",
    "response_id": "response_id =",
    "status": "status =",
    "model": "model =",
    "backend": "backend =",
    "conversation_id": "conversation_id =",
    "api_key": "api_key =",
    "since": "ended_at >=",
    "until": "ended_at <",
}


def record_all(rows: Sequence[ActivityRow]) -> Steps[None]:
    """Write rows, in one statement: as a part of the rule that writes what they are about."""
    if rows:
        yield Insert(f"activity ({COLUMNS})", [values_of(row) for row in rows])


def values_of(row: ActivityRow) -> Row:
    """What is in the columns."""
    *values, tools, conversation_id, api_key, stored, background = astuple(row)
    encoded = msgspec.json.encode(tools).decode() if tools else None
    return (*values, encoded, conversation_id, api_key, int(stored), int(background))


def load_page(query: ActivityQuery) -> Steps[Page[ActivityEntry]]:
    wanted: list[str] = []
    values: list[Any] = []
    for member, condition in _FILTERS.items():
        value = getattr(query, member)
        if value is not None:
            values.append(value)
            wanted.append(f"{condition} ${len(values)}")
    if query.tool is not None:
        literal = _SPECIAL.sub(r"\\\g<0>", query.tool)
        values.append(f'%"{literal}"%')
        wanted.append(f"tools IS NOT NULL AND tools LIKE ${len(values)} ESCAPE '\\'")  # the index is of these
    if query.status not in (None, "completed"):
        wanted.append("status <> 'completed'")  # which has an index
    if query.after is not None:
        values += yield from _cursor(query.after)
        wanted.append(f"(ended_at, key) < (${len(values) - 1}, ${len(values)})")
    values.append(query.limit + 1)
    sql = f"""
        SELECT key, {COLUMNS} FROM activity {"WHERE" if wanted else ""} {" AND ".join(wanted)}
        ORDER BY ended_at DESC, key DESC LIMIT ${len(values)}"""
    rows = yield Statement(sql, tuple(values))
    return Page([_entry(row) for row in rows[: query.limit]], more=len(rows) > query.limit)


def load_usage(project: str, since: int) -> Steps[Usage]:
    """The day is written as the index of SQLite has it; on PostgreSQL the index by time is as good."""
    sums = ", ".join(
        f"CAST(sum({what}) AS BIGINT)"
        for what in (
            "CASE status WHEN 'failed' THEN 1 ELSE 0 END",
            "input_tokens",
            "cached_tokens",
            "output_tokens",
        )
    )
    day = "CAST(/*! floor */(ended_at / 86400.0) AS INTEGER)"
    sql = f"""
        SELECT {day} AS day, model, api_key, count(*), {sums} FROM activity
        WHERE project_id = $1 AND {day} >= $2 /*! AND ended_at >= 86400.0 * $2 */
        GROUP BY {day}, model, api_key ORDER BY 4 DESC LIMIT {_MOST_USES + 1}"""
    rows = yield Statement(sql, (project, since))
    names = UsageRow.__struct_fields__
    found = [UsageRow(**dict(zip(names, row, strict=True))) for row in rows[:_MOST_USES]]
    return Usage(found, more=len(rows) > _MOST_USES)


def _cursor(key: int) -> Steps[Row]:
    found = yield from one(Statement("SELECT ended_at, key FROM activity WHERE key = $1", (key,)))
    if found is None:
        raise UnknownCursor("activity", str(key))
    return found


def _entry(row: Row) -> ActivityEntry:
    key, *values = row
    members = dict(zip(ActivityRow.__struct_fields__, values, strict=True))
    members["tools"] = msgspec.json.decode(members["tools"] or "[]")
    members["stored"], members["background"] = bool(members["stored"]), bool(members["background"])
    return ActivityEntry(key, ActivityRow(**members))


def expire(before: float, limit: int) -> Steps[int]:
    sql = """
        DELETE FROM activity WHERE key IN (
            SELECT key FROM activity WHERE ended_at < $1 ORDER BY ended_at LIMIT $2
            /*! FOR UPDATE SKIP LOCKED */)
        RETURNING key"""
    return len((yield Statement(sql, (before, limit))))
