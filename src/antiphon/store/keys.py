"""API keys that were made at run time: whose they are, and what they may.

Of a key only its digest is kept, by which it is found; the key itself was shown once. A key that was revoked
stays as a row, since activity names it. Those of the configuration are not here.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from antiphon.protocol.tiers import Tier
from antiphon.store.database import Database
from antiphon.store.errors import AlreadyExists
from antiphon.store.statements import Insert, Row, Statement, Steps, alone, changed, one

BudgetWindow: TypeAlias = Literal["day", "month"]


class KeyLimits(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a key may. What is None or empty: whatever it likes. As JSON it is on the disk: names are for
    good."""

    models: tuple[str, ...] = ()
    """Names and patterns (`gpt-*`) of models, as requests name them."""
    service_tiers: tuple[Tier, ...] = ()
    """What asks for another one is served in the next lower one."""
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    """Requests that are answered at once."""
    token_budget: int | None = None
    """Tokens for each `budget_window`, of UTC."""
    budget_window: BudgetWindow = "month"


class KeyRow(Struct, frozen=True, kw_only=True):
    """A key. Times are seconds since the epoch."""

    id: str
    project: str
    name: str
    """Of its project's keys that are not revoked, no two have the same."""
    digest: str
    """`sha256:` and hex digits."""
    hint: str
    """Its first and last characters, by which people tell it from others."""
    admin: bool
    """Whether it sees all projects, and may make keys."""
    limits: KeyLimits
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None


class KeyUse(Struct, kw_only=True, omit_defaults=True):
    """What a response counts to. With a request that waits for its run it is on the disk, as JSON: names are
    for good."""

    name: str
    """Of the key."""
    digest: str
    limits: KeyLimits = KeyLimits()
    reserved: int = 0
    """Tokens that were counted before it began."""
    seen: int = 0
    """Of these, those of its body."""
    at: int = 0
    """When: seconds since the epoch."""
    settled: bool = False
    """Whether it was counted what it took; who goes on with it in the background counts it."""


class Keys:
    """The keys of all projects. Where a method takes a project, None stands for whichever it is."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: KeyRow) -> None:
        """Raises AlreadyExists when its project has a key of that name."""
        await self._database.write(add, row)

    async def find(self, digest: str) -> KeyRow | None:
        """The key with that digest, revoked or not."""
        return await self._database.read(find, digest)

    async def get(self, project: str | None, key_id: str) -> KeyRow | None:
        return await self._database.read(load, project, key_id)

    async def newest(self, project: str | None, limit: int = 1000) -> Sequence[KeyRow]:
        """The newest first, with those that were revoked."""
        return await self._database.read_long(newest, project, limit)

    async def limit(
        self, project: str | None, key_id: str, limits: KeyLimits, expires_at: int | None
    ) -> bool:
        """Whether there is such a key, not revoked: it may that from now on."""
        return await self._database.write(limit_key, project, key_id, limits, expires_at)

    async def revoke(self, project: str | None, key_id: str, now: int) -> bool:
        """Whether there is such a key, not revoked before."""
        return await self._database.write(revoke, project, key_id, now)


_COLUMNS = "id, project_id, name, digest, hint, admin, limits, created_at, expires_at, revoked_at"
_OF_PROJECT = "(CAST($1 AS TEXT) IS NULL OR project_id = $1)"
_limits = msgspec.json.Decoder(KeyLimits).decode


def add(row: KeyRow) -> Steps[None]:
    yield from alone("keys", row.project)
    taken = "SELECT 1 FROM api_keys WHERE project_id = $1 AND name = $2 AND revoked_at IS NULL"
    if (yield Statement(taken, (row.project, row.name))):
        raise AlreadyExists(row.name)
    values = (
        *(row.id, row.project, row.name, row.digest, row.hint, int(row.admin)),
        *(_shown(row.limits), row.created_at, row.expires_at, row.revoked_at),
    )
    yield Insert(f"api_keys ({_COLUMNS})", [values])


def find(digest: str) -> Steps[KeyRow | None]:
    found = yield from one(Statement(f"SELECT {_COLUMNS} FROM api_keys WHERE digest = $1", (digest,)))
    return _row(found) if found is not None else None


def load(project: str | None, key_id: str) -> Steps[KeyRow | None]:
    sql = f"SELECT {_COLUMNS} FROM api_keys WHERE {_OF_PROJECT} AND id = $2"
    found = yield from one(Statement(sql, (project, key_id)))
    return _row(found) if found is not None else None


def newest(project: str | None, limit: int) -> Steps[list[KeyRow]]:
    sql = f"SELECT {_COLUMNS} FROM api_keys WHERE {_OF_PROJECT} ORDER BY key DESC LIMIT $2"
    return [_row(row) for row in (yield Statement(sql, (project, limit)))]


def limit_key(project: str | None, key_id: str, limits: KeyLimits, expires_at: int | None) -> Steps[bool]:
    sql = f"""
        UPDATE api_keys SET limits = $3, expires_at = CAST($4 AS BIGINT)
        WHERE {_OF_PROJECT} AND id = $2 AND revoked_at IS NULL RETURNING 1"""
    return (yield from changed(Statement(sql, (project, key_id, _shown(limits), expires_at))))


def revoke(project: str | None, key_id: str, now: int) -> Steps[bool]:
    sql = f"""
        UPDATE api_keys SET revoked_at = $3
        WHERE {_OF_PROJECT} AND id = $2 AND revoked_at IS NULL RETURNING 1"""
    return (yield from changed(Statement(sql, (project, key_id, now))))


def _shown(limits: KeyLimits) -> str:
    return msgspec.json.encode(limits).decode()


def _row(row: Row) -> KeyRow:
    members = dict(zip(KeyRow.__struct_fields__, row, strict=True))
    members["admin"], members["limits"] = bool(members["admin"]), _limits(members["limits"])
    return KeyRow(**members)
