"""Deliveries of webhooks, as they are kept: what is to be sent to whom, and what became of it.

A delivery is written in the transaction that ends its response (`enqueue` is a part of that rule), so that
an end that was seen is sent however the process dies. It is the log as well: a row stays when it was
delivered or given up, until retention takes it.

Several processes send from one store. A due delivery is *taken* by one of them: it is not due again before
its lease ends, and each taking counts as an attempt. By the count an outcome is recognised that comes too
late, after the lease ended and somebody else took the delivery: it is ignored.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from msgspec import Struct

from antiphon.store.database import Database
from antiphon.store.paging import Page, PageQuery, key_of
from antiphon.store.statements import Insert, Row, Statement, Steps, changed, one

DeliveryStatus: TypeAlias = Literal["pending", "delivered", "failed"]


class Delivery(Struct, frozen=True, kw_only=True):
    """An event for one endpoint. Secrets are not part of it: whoever sends it signs it."""

    id: str
    """The header `webhook-id`: the same in every attempt."""
    event_id: str
    """That of the event, which goes to every endpoint that wants it."""
    project: str
    endpoint: str
    """The name under which the endpoint is configured."""
    type: str
    """`response.completed` and so on."""
    response_id: str
    created_at: int
    """Seconds since the epoch."""
    body: bytes
    """The JSON that is sent."""


class Taken(Struct, frozen=True):
    """A delivery that this process may send now, for the `attempt`th time (from 1)."""

    delivery: Delivery
    attempt: int


class Outcome(Struct, frozen=True):
    """What became of an attempt."""

    status: DeliveryStatus
    at: float
    """Seconds since the epoch: when a pending one is due again, when others ended."""
    http_status: int | None = None
    """None: nobody answered."""
    error: str | None = None


class DeliveryRow(Struct, frozen=True, kw_only=True):
    """A delivery in the log. Times are seconds since the epoch."""

    id: str
    event_id: str
    project: str
    endpoint: str
    type: str
    response_id: str
    created_at: int
    status: DeliveryStatus
    attempts: int
    next_at: float | None
    """When a pending one is due."""
    ended_at: int | None
    """When it was delivered or given up."""
    http_status: int | None
    """Of the last answer."""
    error: str | None
    """Why the last attempt was none."""


class Deliveries:
    """The rows of all projects."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, deliveries: Sequence[Delivery]) -> None:
        """Keep them, due now: for events that come with nothing else to be written."""
        await self._database.write(enqueue, deliveries)

    async def due(self, endpoint: str) -> float | None:
        """When the endpoint's next delivery is due; None: there is none to come."""
        return await self._database.read(due, endpoint)

    async def take(self, endpoint: str, now: float, lease: float, limit: int) -> Sequence[Taken]:
        """The endpoint's due deliveries, at most `limit`: for `lease` seconds nobody else gets them."""
        return await self._database.write(take, endpoint, now, lease, limit)

    async def settle(self, taken: Taken, outcome: Outcome) -> bool:
        """Write down what became of a taken delivery. False: it is somebody else's by now, or gone."""
        return await self._database.write(settle, taken, outcome)

    async def latest(self, limit: int, status: DeliveryStatus | None = None) -> Sequence[DeliveryRow]:
        """The newest first."""
        return await self._database.read_long(latest, limit, status)

    async def page(
        self, project: str, query: PageQuery, status: DeliveryStatus | None = None
    ) -> Page[DeliveryRow]:
        """Those of a project, by creation. Raises UnknownCursor."""
        return await self._database.read_long(list_deliveries, project, query, status)

    async def get(self, delivery_id: str) -> DeliveryRow | None:
        return await self._database.read(load, delivery_id)

    async def again(self, delivery_id: str, now: float) -> bool:
        """Have a delivery sent once more, as if it were new. False: there is none with this id."""
        return await self._database.write(again, delivery_id, now)

    async def expire(self, before: float, limit: int) -> int:
        """Forget at most `limit` that were created before; gives how many went."""
        return await self._database.write(expire, before, limit)


_MEMBERS = Delivery.__struct_fields__
_DELIVERY = "id, event_id, project_id, endpoint, type, response_id, created_at, body"
_ROW = """
    SELECT id, event_id, project_id, endpoint, type, response_id, created_at, status, attempts,
        CASE status WHEN 'pending' THEN next_at END, ended_at, http_status, error
    FROM webhook_deliveries"""


def enqueue(deliveries: Sequence[Delivery]) -> Steps[None]:
    """Keep the deliveries, due at once: as a part of the rule that writes what they are about. Senders notice
    them when that has committed (`Webhooks.wake`, or their next look)."""
    if deliveries:
        rows = [(*(getattr(each, name) for name in _MEMBERS), float(each.created_at)) for each in deliveries]
        yield Insert(f"webhook_deliveries ({_DELIVERY}, next_at)", rows)


def due(endpoint: str) -> Steps[float | None]:
    sql = "SELECT min(next_at) FROM webhook_deliveries WHERE status = 'pending' AND endpoint = $1"
    ((found,),) = yield Statement(sql, (endpoint,))
    return None if found is None else float(found)


def take(endpoint: str, now: float, lease: float, limit: int) -> Steps[list[Taken]]:
    sql = f"""
        UPDATE webhook_deliveries SET attempts = attempts + 1, next_at = $1 WHERE key IN (
            SELECT key FROM webhook_deliveries
            WHERE status = 'pending' AND endpoint = $2 AND next_at <= $3 ORDER BY next_at, key LIMIT $4
            /*! FOR UPDATE SKIP LOCKED */)
        RETURNING attempts, {_DELIVERY}"""
    rows = yield Statement(sql, (now + lease, endpoint, now, limit))
    return [Taken(Delivery(**dict(zip(_MEMBERS, row[1:], strict=True))), row[0]) for row in rows]


def settle(taken: Taken, outcome: Outcome) -> Steps[bool]:
    sql = """
        UPDATE webhook_deliveries SET status = $1, http_status = $2, error = $3, next_at = $4, ended_at = $5
        WHERE id = $6 AND attempts = $7 AND status = 'pending'
        RETURNING 1"""
    ended_at = None if outcome.status == "pending" else int(outcome.at)
    attempt = (taken.delivery.id, taken.attempt)
    values = (outcome.status, outcome.http_status, outcome.error, outcome.at, ended_at, *attempt)
    return (yield from changed(Statement(sql, values)))


def latest(limit: int, status: DeliveryStatus | None) -> Steps[list[DeliveryRow]]:
    wanted, values = ("WHERE status = $2", (limit, status)) if status is not None else ("", (limit,))
    sql = f"{_ROW} {wanted} ORDER BY key DESC LIMIT $1"
    return [_row(row) for row in (yield Statement(sql, values))]


def list_deliveries(
    project: str, query: PageQuery, status: DeliveryStatus | None
) -> Steps[Page[DeliveryRow]]:
    wanted, values = "", [project, query.limit + 1]
    if status is not None:
        values.append(status)
        wanted += " AND status = $3"
        if status != "delivered":
            wanted += " AND status <> 'delivered'"  # which has an index
    if query.after is not None:
        sql = "SELECT key FROM webhook_deliveries WHERE id = $1 AND project_id = $2"
        cursor = Statement(sql, (query.after, project))
        values.append((yield from key_of("webhook delivery", query.after, cursor)))
        wanted += f" AND key {query.side} ${len(values)}"
    sql = f"{_ROW} WHERE project_id = $1{wanted} ORDER BY key {query.order} LIMIT $2"
    rows = [_row(row) for row in (yield Statement(sql, tuple(values)))]
    return query.page(rows)


def load(delivery_id: str) -> Steps[DeliveryRow | None]:
    found = yield from one(Statement(f"{_ROW} WHERE id = $1", (delivery_id,)))
    return _row(found) if found is not None else None


def again(delivery_id: str, now: float) -> Steps[bool]:
    sql = """
        UPDATE webhook_deliveries SET status = 'pending', attempts = 0, next_at = $1, ended_at = NULL
        WHERE id = $2 RETURNING 1"""
    return (yield from changed(Statement(sql, (now, delivery_id))))


def expire(before: float, limit: int) -> Steps[int]:
    sql = """
        DELETE FROM webhook_deliveries WHERE key IN (
            SELECT key FROM webhook_deliveries WHERE created_at < $1 ORDER BY created_at LIMIT $2
            /*! FOR UPDATE SKIP LOCKED */)
        RETURNING key"""
    return len((yield Statement(sql, (before, limit))))


def _row(row: Row) -> DeliveryRow:
    return DeliveryRow(**dict(zip(DeliveryRow.__struct_fields__, row, strict=True)))
