"""How many requests of a key are answered at once, in all processes together.

Each process holds places, and may hold them longer than a request lasts: so few requests are a transaction.
Those of a process that died lapse.
"""

from antiphon.store.database import Database
from antiphon.store.statements import Statement, Steps, alone

LEASE = 30.0
"""Seconds after which places lapse that are not renewed."""


class KeyPlaces:
    """Those of all keys, which are named by their digests. `owner` names a process."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, digest: str, owner: str, most: int) -> bool:
        """One more for a process, if all processes have less than `most` of them."""
        return await self._database.write(take, digest, owner, most, self._database.clock())

    async def give_back(self, digest: str, owner: str, count: int) -> None:
        await self._database.write(give_back, digest, owner, count)

    async def renew(self, owner: str) -> None:
        """Those of a process lapse no earlier than a lease from now."""
        await self._database.write(renew, owner, self._database.clock())


def take(digest: str, owner: str, most: int, now: float) -> Steps[bool]:
    yield from alone("key_places", digest)
    sql = "SELECT coalesce(CAST(sum(places) AS BIGINT), 0) FROM key_places WHERE digest = $1 AND until >= $2"
    ((held,),) = yield Statement(sql, (digest, now))
    if held >= most:
        return False
    yield Statement("DELETE FROM key_places WHERE digest = $1 AND until < $2", (digest, now))
    sql = """
        INSERT INTO key_places (digest, owner, places, until) VALUES ($1, $2, 1, $3)
        ON CONFLICT (digest, owner) DO UPDATE SET places = key_places.places + 1, until = excluded.until"""
    yield Statement(sql, (digest, owner, now + LEASE))
    return True


def give_back(digest: str, owner: str, count: int) -> Steps[None]:
    yield from alone("key_places", digest)
    sql = "UPDATE key_places SET places = places - $3 WHERE digest = $1 AND owner = $2"
    yield Statement(sql, (digest, owner, count))
    yield Statement(
        "DELETE FROM key_places WHERE digest = $1 AND owner = $2 AND places <= 0", (digest, owner)
    )


def release_all() -> Steps[None]:
    """Every process has died."""
    yield Statement("DELETE FROM key_places")


def renew(owner: str, now: float) -> Steps[None]:
    yield Statement("UPDATE key_places SET until = $2 WHERE owner = $1", (owner, now + LEASE))
