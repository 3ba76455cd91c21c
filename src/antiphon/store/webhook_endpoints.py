"""Endpoints of webhooks that clients made, beside those of the configuration.

A secret is kept, since every event is signed with it, but sealed by whoever keeps it here. An endpoint that
is deleted takes along what waits for it.
"""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from antiphon.store.database import Database
from antiphon.store.paging import Page, PageQuery, key_of
from antiphon.store.statements import Insert, Row, Statement, Steps, alone, changed, one

MOST: Final = 100
"""Endpoints of a project."""


class SealedSecret(Struct, frozen=True):
    text: str
    hint: str
    """What of it may be shown."""


class EndpointRow(Struct, frozen=True, kw_only=True):
    """An endpoint. Times are seconds since the epoch."""

    project: str
    id: str
    name: str
    url: str
    events: Sequence[str]
    secret: SealedSecret
    old_secret: str | None = None
    """Sealed: that in front of it, with which events are signed as well for a while."""
    old_until: int = 0
    created_at: int
    updated_at: int


class EndpointChange(Struct, frozen=True):
    """What changes of an endpoint; None: stays."""

    at: int
    """Seconds since the epoch."""
    name: str | None = None
    url: str | None = None
    events: Sequence[str] | None = None


class WebhookEndpoints:
    """Rows belong to a project. What is not there is None, or False from a delete."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, row: EndpointRow) -> bool:
        """False: the project has as many as it may have."""
        return await self._database.write(create, row)

    async def get(self, project: str, endpoint_id: str) -> EndpointRow | None:
        return await self._database.read(load, project, endpoint_id)

    async def update(self, project: str, endpoint_id: str, change: EndpointChange) -> EndpointRow | None:
        """The endpoint as it is now."""
        return await self._database.write(update, project, endpoint_id, change)

    async def rotate(
        self, project: str, endpoint_id: str, secret: SealedSecret, now: int, old_until: int
    ) -> EndpointRow | None:
        """Give it a new secret; the one before counts until `old_until`. Times: seconds since the epoch."""
        return await self._database.write(rotate, project, endpoint_id, secret, now, old_until)

    async def delete(self, project: str, endpoint_id: str) -> bool:
        """What waits for it is given up."""
        return await self._database.write(delete, project, endpoint_id)

    async def page(self, project: str, query: PageQuery) -> Page[EndpointRow]:
        """By creation. Raises UnknownCursor."""
        return await self._database.read_long(list_endpoints, project, query)

    async def of(self, project: str) -> Sequence[EndpointRow]:
        """All of a project."""
        return await self._database.read(of_project, project)

    async def awaited(self) -> Sequence[tuple[str, str]]:
        """The projects and ids of those, of all projects, for which something waits."""
        return await self._database.read(awaited)


_COLUMNS = "project_id, id, name, url, events, secret, hint, old_secret, old_until, created_at, updated_at"
_SELECT = f"SELECT {_COLUMNS} FROM webhook_endpoints"
_ONE = "project_id = $1 AND id = $2"


def create(row: EndpointRow) -> Steps[bool]:
    yield from alone("webhook_endpoints", row.project)
    sql = "SELECT count(*) FROM webhook_endpoints WHERE project_id = $1"
    ((count,),) = yield Statement(sql, (row.project,))
    if count >= MOST:
        return False
    yield Insert(f"webhook_endpoints ({_COLUMNS})", (_values(row),))
    return True


def load(project: str, endpoint_id: str) -> Steps[EndpointRow | None]:
    found = yield from one(Statement(f"{_SELECT} WHERE {_ONE}", (project, endpoint_id)))
    return _row(found) if found is not None else None


def update(project: str, endpoint_id: str, change: EndpointChange) -> Steps[EndpointRow | None]:
    """A change that changes nothing leaves the time of the last one."""
    yield from alone("webhook_endpoints", project)
    row = yield from load(project, endpoint_id)
    if row is None:
        return None
    given = {name: getattr(change, name) for name in ("name", "url", "events")}
    new = replace(row, **{name: value for name, value in given.items() if value is not None})
    if new == row:
        return row
    new = replace(new, updated_at=change.at)
    sql = f"UPDATE webhook_endpoints SET name = $3, url = $4, events = $5, updated_at = $6 WHERE {_ONE}"
    yield Statement(sql, (project, endpoint_id, new.name, new.url, _events(new), new.updated_at))
    return new


def rotate(
    project: str, endpoint_id: str, secret: SealedSecret, now: int, old_until: int
) -> Steps[EndpointRow | None]:
    sql = f"""
        UPDATE webhook_endpoints
        SET old_secret = secret, old_until = $3, secret = $4, hint = $5, updated_at = $6
        WHERE {_ONE} RETURNING {_COLUMNS}"""
    values = (project, endpoint_id, old_until, secret.text, secret.hint, now)
    found = yield from one(Statement(sql, values))
    return _row(found) if found is not None else None


def delete(project: str, endpoint_id: str) -> Steps[bool]:
    sql = f"DELETE FROM webhook_endpoints WHERE {_ONE} RETURNING 1"
    if not (yield from changed(Statement(sql, (project, endpoint_id)))):
        return False
    sql = """
        UPDATE webhook_deliveries
        SET status = 'failed', error = 'Its endpoint was deleted.', ended_at = CAST(next_at AS BIGINT)
        WHERE endpoint = $1 AND status = 'pending'"""
    yield Statement(sql, (endpoint_id,))
    return True


def list_endpoints(project: str, query: PageQuery) -> Steps[Page[EndpointRow]]:
    after = None
    if query.after is not None:
        sql = f"SELECT key FROM webhook_endpoints WHERE {_ONE}"
        after = yield from key_of("webhook endpoint", query.after, Statement(sql, (project, query.after)))
    sql = f"""{_SELECT}
        WHERE project_id = $1 AND (CAST($2 AS BIGINT) IS NULL OR key {query.side} $2)
        ORDER BY key {query.order} LIMIT $3"""
    rows = [_row(row) for row in (yield Statement(sql, (project, after, query.limit + 1)))]
    return query.page(rows)


def of_project(project: str) -> Steps[list[EndpointRow]]:
    rows = yield Statement(f"{_SELECT} WHERE project_id = $1 ORDER BY key", (project,))
    return [_row(row) for row in rows]


def awaited() -> Steps[list[tuple[str, str]]]:
    sql = """
        SELECT project_id, id FROM webhook_endpoints WHERE EXISTS (
            SELECT 1 FROM webhook_deliveries AS d
            WHERE d.status = 'pending' AND d.endpoint = webhook_endpoints.id)"""
    return [(project, endpoint_id) for project, endpoint_id in (yield Statement(sql))]


def _values(row: EndpointRow) -> Row:
    return (
        row.project,
        row.id,
        row.name,
        row.url,
        _events(row),
        row.secret.text,
        row.secret.hint,
        row.old_secret,
        row.old_until,
        row.created_at,
        row.updated_at,
    )


def _row(row: Row) -> EndpointRow:
    project, endpoint_id, name, url, events, secret, hint, old_secret, old_until, created, updated = row
    return EndpointRow(
        project=project,
        id=endpoint_id,
        name=name,
        url=url,
        events=msgspec.json.decode(events),
        secret=SealedSecret(secret, hint),
        old_secret=old_secret,
        old_until=old_until,
        created_at=created,
        updated_at=updated,
    )


def _events(row: EndpointRow) -> str:
    return msgspec.json.encode(row.events).decode()
