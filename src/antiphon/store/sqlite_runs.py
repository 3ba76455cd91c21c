"""Background runs in SQLite."""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from antiphon.protocol.wire import encode
from antiphon.store import sqlite_responses as responses
from antiphon.store import sqlite_threads as threads
from antiphon.store.base import ResponseRow
from antiphon.store.runs import AcceptedRun, Claim, Context, LogStretch, LostRun, QueueFull, Record, RunEnd
from antiphon.store.sqlite_connection import Readers, Writer
from antiphon.store.sqlite_threads import Segment
from antiphon.store.sqlite_webhooks import enqueue

_ROWS = 32
"""Rows of events that are read at a time."""
_POLL = 0.1
"""Seconds after which a reader looks for what another process wrote."""


class SqliteRuns:
    """`Runs` in the store's file."""

    def __init__(self, writer: Writer, readers: Readers, clock: Callable[[], float] = time.time) -> None:
        self._writer = writer
        self._readers = readers
        self._clock = clock
        self._news: dict[str, asyncio.Event] = {}

    async def accept(
        self, project: str, run: AcceptedRun, queue: int, owner: str | None = None, lease: float = 0
    ) -> Claim | None:
        now = self._clock()
        return await self._writer.run(lambda db: _accept(db, project, run, queue, owner, now, lease))

    async def claim(self, owner: str, lease: float, only: tuple[str, str] | None = None) -> Claim | None:
        now = self._clock()
        if only is None and not self._readers.now(lambda db: _waits(db, now)):
            return None  # to look costs little, to write does not
        return await self._writer.run(lambda db: _claim(db, owner, now, lease, only))

    async def renew(self, owner: str, lease: float, ids: Sequence[str]) -> None:
        until = self._clock() + lease
        sql = "UPDATE runs SET leased_until = ? WHERE owner = ? AND id IN (SELECT value FROM json_each(?))"
        await self._writer.run(lambda db: db.execute(sql, (until, owner, encode(ids).decode())))

    async def release(self, owner: str) -> None:
        sql = "UPDATE runs SET leased_until = 0 WHERE owner = ?"
        await self._writer.run(lambda db: db.execute(sql, (owner,)))

    async def held(self, owner: str) -> Mapping[str, bool]:
        sql = "SELECT id, cancelled FROM runs WHERE owner = ?"
        return self._readers.now(lambda db: {id: bool(c) for id, c in db.execute(sql, (owner,))})

    async def context(self, claim: Claim) -> Context:
        return await self._readers.apart(lambda db: _context(db, claim))

    async def log(self, claim: Claim) -> Sequence[bytes]:
        return await self._readers.apart(lambda db: _log(db, claim))

    async def record(self, claim: Claim, record: Record) -> None:
        await self._writer.run(lambda db: _record(db, claim, record))
        self._tell(claim.id)

    async def finish(self, claim: Claim, end: RunEnd) -> None:
        now = self._clock()
        await self._writer.run(lambda db: _finish(db, claim, end, now))
        self._tell(claim.id)

    async def cancel(self, project: str, response_id: str) -> bool:
        sql = "UPDATE runs SET cancelled = 1 WHERE project_id = ? AND id = ? AND status <> 'ended'"
        return await self._writer.run(lambda db: db.execute(sql, (project, response_id)).rowcount == 1)

    async def running(self, project: str, response_id: str) -> bool:
        sql = "SELECT 1 FROM runs WHERE project_id = ? AND id = ? AND status <> 'ended'"
        return self._readers.now(lambda db: db.execute(sql, (project, response_id)).fetchone() is not None)

    async def stretch(self, project: str, response_id: str, after: int) -> LogStretch | None:
        return self._readers.now(lambda db: _stretch(db, project, response_id, after))

    async def expire(self, before: float, limit: int) -> int:
        sql = """
            DELETE FROM runs WHERE key IN (
                SELECT key FROM runs WHERE ended_at < ? ORDER BY ended_at LIMIT ?)"""
        return await self._writer.run(lambda db: db.execute(sql, (before, limit)).rowcount)

    async def news(self, response_id: str) -> None:
        told = self._news.setdefault(response_id, asyncio.Event())
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL):
                    await told.wait()
        finally:
            self._news.pop(response_id, None)

    def _tell(self, response_id: str) -> None:
        told = self._news.pop(response_id, None)
        if told is not None:
            told.set()


# ---- the queue ------------------------------------------------------------------------------------------


def _accept(
    db: sqlite3.Connection,
    project: str,
    run: AcceptedRun,
    queue: int,
    owner: str | None,
    now: float,
    lease: float,
) -> Claim | None:
    waiting = db.execute("SELECT count(*) FROM runs WHERE status = 'queued'").fetchone()[0]
    if waiting >= queue:
        raise QueueFull
    row = run.response
    responses.save_apart(db, project, row)
    sql = """
        INSERT INTO runs (project_id, id, created_at, previous_id, conversation_id, streamed, request, next)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
    values = (
        project,
        row.id,
        row.created_at,
        row.previous_response_id,
        row.conversation_id,
        run.streamed,
        run.request,
        len(run.events),
    )
    key = db.execute(sql, values).lastrowid
    _append(db, key or 0, 0, run.events)
    return _claim(db, owner, now, lease, (project, row.id)) if owner and not waiting else None


_FREE = "status <> 'ended' AND leased_until < :now"


def _waits(db: sqlite3.Connection, now: float) -> bool:
    sql = f"SELECT 1 FROM runs WHERE {_FREE} LIMIT 1"
    return db.execute(sql, {"now": now}).fetchone() is not None


def _claim(
    db: sqlite3.Connection, owner: str, now: float, lease: float, only: tuple[str, str] | None
) -> Claim | None:
    wanted = "AND project_id = :project AND id = :id" if only else ""
    sql = f"""
        UPDATE runs
        SET owner = :owner, leased_until = :until, status = 'running', claims = claims + 1,
            started_at = coalesce(started_at, :now)
        WHERE key = (SELECT key FROM runs WHERE {_FREE} {wanted} ORDER BY key LIMIT 1)
        RETURNING key, project_id, id, owner, conversation_id, streamed, cancelled, request, progress,
            claims, started_at, next"""
    project, response_id = only or ("", "")
    values = {"owner": owner, "now": now, "until": now + lease, "project": project, "id": response_id}
    found = db.execute(sql, values).fetchone()
    if found is None:
        return None
    key, project, response_id, owner, conversation, streamed, cancelled, *rest = found
    return Claim(key, project, response_id, owner, conversation, bool(streamed), bool(cancelled), *rest)


def free_all(db: sqlite3.Connection) -> None:
    """Nobody carries anything: for a process that knows that it is the only one."""
    db.execute("UPDATE runs SET leased_until = 0, owner = NULL WHERE owner IS NOT NULL")
    db.execute("UPDATE conversations SET lock_holder = NULL, locked_until = 0 WHERE lock_holder IS NOT NULL")


# ---- what it is, and what was told ----------------------------------------------------------------------


def _context(db: sqlite3.Connection, claim: Claim) -> Context:
    sql = "SELECT thread, start, middle FROM responses WHERE project_id = ? AND id = ?"
    found = db.execute(sql, (claim.project, claim.id)).fetchone()
    if found is None:
        raise LostRun
    thread, start, middle = found
    history = threads.history(db, threads.path(db, Segment(thread, start)))
    return Context(history, threads.stretch(db, thread, start, middle))


def _log(db: sqlite3.Connection, claim: Claim) -> list[bytes]:
    found = db.execute("SELECT 1 FROM runs WHERE key = ? AND owner = ?", (claim.key, claim.owner)).fetchone()
    if found is None:
        raise LostRun
    sql = "SELECT json FROM events WHERE run = ? ORDER BY last"
    return [line for (json,) in db.execute(sql, (claim.key,)) for line in json.split(b"\n")]


def _stretch(db: sqlite3.Connection, project: str, response_id: str, after: int) -> LogStretch | None:
    sql = "SELECT key, status = 'ended' FROM runs WHERE project_id = ? AND id = ? AND streamed"
    found = db.execute(sql, (project, response_id)).fetchone()
    if found is None:
        return None
    key, ended = found
    sql = f"SELECT last, json FROM events WHERE run = ? AND last > ? ORDER BY last LIMIT {_ROWS}"
    lines: list[bytes] = []
    for last, json in db.execute(sql, (key, after)):
        some = json.split(b"\n")
        lines += some[max(0, after - (last - len(some))) :]
        after = last
    return LogStretch(lines, bool(ended))


def _advance(db: sqlite3.Connection, claim: Claim, record: Record) -> None:
    """Raises LostRun unless it is the owner who goes on, and exactly where the log stands."""
    sql = "UPDATE runs SET next = ?, progress = ? WHERE key = ? AND owner = ? AND next = ?"
    after = record.first + len(record.events)
    if db.execute(sql, (after, record.progress, claim.key, claim.owner, record.first)).rowcount != 1:
        raise LostRun


def _record(db: sqlite3.Connection, claim: Claim, record: Record) -> None:
    _advance(db, claim, record)
    _append(db, claim.key, record.first, record.events)
    if record.response is not None:
        sql = "UPDATE responses SET json = ? WHERE project_id = ? AND id = ?"
        db.execute(sql, (record.response, claim.project, claim.id))


def _append(db: sqlite3.Connection, key: int, first: int, events: Sequence[bytes]) -> None:
    if events:
        sql = "INSERT INTO events (run, last, json) VALUES (?, ?, ?)"
        db.execute(sql, (key, first + len(events) - 1, b"\n".join(events)))


def _finish(db: sqlite3.Connection, claim: Claim, end: RunEnd, now: float) -> None:
    """The response as it was accepted gives way to the finished one, in its final place."""
    _advance(db, claim, end.record)
    if claim.streamed:
        _append(db, claim.key, end.record.first, end.record.events)
    else:
        db.execute("DELETE FROM events WHERE run = ?", (claim.key,))
    sql = """
        UPDATE runs SET status = 'ended', ended_at = ?, owner = NULL, request = NULL, progress = NULL
        WHERE key = ? RETURNING created_at, previous_id, conversation_id"""
    created_at, previous, conversation = db.execute(sql, (now, claim.key)).fetchone()
    given = responses.own_input(db, claim.project, claim.id)
    # When what it continues was deleted meanwhile, it keeps all that it was made from.
    orphaned = previous is not None and not responses.exists(db, claim.project, previous)
    place = responses.fork_before(db, claim.project, claim.id) if orphaned else None
    responses.remove(db, claim.project, claim.id)
    row = ResponseRow(
        id=claim.id,
        created_at=created_at,
        json=end.response,
        input=given,
        output=end.output,
        previous_response_id=previous,
        conversation_id=conversation if end.speaks else None,
    )
    if place is None:
        responses.save(db, claim.project, row)
    else:
        responses.save_at(db, claim.project, row, place)
    enqueue(db, end.deliveries)
