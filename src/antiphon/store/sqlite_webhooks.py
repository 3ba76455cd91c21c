"""Deliveries of webhooks in SQLite."""

import sqlite3
from collections.abc import Sequence

from antiphon.store.sqlite_connection import Readers, Writer
from antiphon.store.webhooks import Delivery, DeliveryRow, DeliveryStatus, Outcome, Taken

_DELIVERY = "id, event_id, project_id, endpoint, type, response_id, created_at, body"
_ROW = """
    SELECT id, event_id, project_id, endpoint, type, response_id, created_at, status, attempts,
        CASE status WHEN 'pending' THEN next_at END, ended_at, http_status, error
    FROM webhook_deliveries"""


def enqueue(db: sqlite3.Connection, deliveries: Sequence[Delivery]) -> None:
    """Keep the deliveries, due at once: within the transaction of `db`, together with what they tell of.
    Sender tasks notice them when that has committed (`Webhooks.wake`, or their next look)."""
    sql = f"INSERT INTO webhook_deliveries ({_DELIVERY}, next_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?7)"
    db.executemany(sql, [tuple(getattr(each, name) for name in _FIELDS) for each in deliveries])


_FIELDS = Delivery.__struct_fields__


class SqliteWebhooks:
    """`Deliveries` in the file of a `SqliteStore`."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    async def add(self, deliveries: Sequence[Delivery]) -> None:
        await self._writer.run(lambda db: enqueue(db, deliveries))

    async def due(self, endpoint: str) -> float | None:
        sql = "SELECT min(next_at) FROM webhook_deliveries WHERE status = 'pending' AND endpoint = ?"
        return self._readers.now(lambda db: _scalar(db, sql, endpoint))

    async def take(self, endpoint: str, now: float, lease: float, limit: int) -> Sequence[Taken]:
        return await self._writer.run(lambda db: _take(db, endpoint, now, lease, limit))

    async def settle(self, taken: Taken, outcome: Outcome) -> bool:
        return await self._writer.run(lambda db: _settle(db, taken, outcome))

    async def latest(self, limit: int, status: DeliveryStatus | None = None) -> Sequence[DeliveryRow]:
        sql = f"{_ROW} WHERE ?1 IS NULL OR status = ?1 ORDER BY key DESC LIMIT ?2"
        return await self._readers.apart(lambda db: [_row(row) for row in db.execute(sql, (status, limit))])

    async def get(self, delivery_id: str) -> DeliveryRow | None:
        sql = f"{_ROW} WHERE id = ?"
        found = self._readers.now(lambda db: db.execute(sql, (delivery_id,)).fetchone())
        return _row(found) if found is not None else None

    async def again(self, delivery_id: str, now: float) -> bool:
        sql = """
            UPDATE webhook_deliveries SET status = 'pending', attempts = 0, next_at = ?, ended_at = NULL
            WHERE id = ?"""
        return await self._writer.run(lambda db: db.execute(sql, (now, delivery_id)).rowcount == 1)

    async def expire(self, before: float, limit: int) -> int:
        sql = """
            DELETE FROM webhook_deliveries WHERE key IN (
                SELECT key FROM webhook_deliveries WHERE created_at < ? ORDER BY created_at LIMIT ?)"""
        return await self._writer.run(lambda db: db.execute(sql, (before, limit)).rowcount)


def _take(db: sqlite3.Connection, endpoint: str, now: float, lease: float, limit: int) -> list[Taken]:
    sql = f"""
        UPDATE webhook_deliveries SET attempts = attempts + 1, next_at = ? WHERE key IN (
            SELECT key FROM webhook_deliveries
            WHERE status = 'pending' AND endpoint = ? AND next_at <= ? ORDER BY next_at, key LIMIT ?)
        RETURNING attempts, {_DELIVERY}"""
    rows = db.execute(sql, (now + lease, endpoint, now, limit)).fetchall()
    return [Taken(Delivery(**dict(zip(_FIELDS, row[1:], strict=True))), row[0]) for row in rows]


def _settle(db: sqlite3.Connection, taken: Taken, outcome: Outcome) -> bool:
    sql = """
        UPDATE webhook_deliveries SET status = :status, http_status = :http_status, error = :error,
            next_at = :at, ended_at = CASE :status WHEN 'pending' THEN NULL ELSE CAST(:at AS INTEGER) END
        WHERE id = :id AND attempts = :attempt AND status = 'pending'"""
    values = {
        "id": taken.delivery.id,
        "attempt": taken.attempt,
        "status": outcome.status,
        "at": outcome.at,
        "http_status": outcome.http_status,
        "error": outcome.error,
    }
    return db.execute(sql, values).rowcount == 1


def _row(row: tuple[object, ...]) -> DeliveryRow:
    return DeliveryRow(**dict(zip(DeliveryRow.__struct_fields__, row, strict=True)))  # type: ignore[arg-type]


def _scalar(db: sqlite3.Connection, sql: str, *values: str) -> float | None:
    found: float | None = db.execute(sql, values).fetchone()[0]
    return found
