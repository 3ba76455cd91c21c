"""What was used of the limits of keys, by all processes of all servers together.

An allowance is used up and comes back: by and by, at so much a second (requests and tokens per minute), or
all of it when a day or a month begins (a budget). A row says how much was used at what time; what came back
since is reckoned when it is read. Processes *draw* from it in portions, and give back what they do not use,
so few requests are a transaction of their own.

How many requests are answered at once is held as slots, each process its own; those of a process that died
lapse.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from msgspec import Struct

from antiphon.store.database import Database
from antiphon.store.keys import BudgetWindow
from antiphon.store.statements import Statement, Steps, alone

Kind = Literal["budget", "requests", "tokens"]
LEASE = 30.0
"""Seconds after which slots lapse that are not renewed."""


class Allowance(Struct, frozen=True):
    """A limit: so much at once, which comes back at `rate` a second, or whole with each `window`."""

    kind: Kind
    limit: int
    rate: float = 0.0
    window: BudgetWindow | None = None

    def used(self, used: float, at: float, now: float) -> float:
        """What of `used`, which was true at `at`, counts still."""
        if self.window is not None:
            return used if at >= begun(self.window, now) else 0.0
        return max(0.0, used - max(0.0, now - at) * self.rate)


class Draw(Struct, frozen=True):
    """`needed` is wanted at least, and a portion if it can be had. Of a budget less will do."""

    allowance: Allowance
    needed: float
    portion: float

    def given(self, free: float) -> float:
        if self.allowance.window is not None:
            return max(0.0, min(free, max(self.needed, self.portion)))
        wanted = max(self.needed, self.portion)
        return wanted if free >= wanted else self.needed if free >= self.needed else 0.0


class Drawn(Struct, frozen=True):
    """What was got, and how much is used of the limit then, by all."""

    given: float
    used: float
    at: float


class Settled(Struct, frozen=True):
    """What was used more than was drawn; less: it is negative."""

    digest: str
    allowance: Allowance
    more: float


class Allowances:
    """Those of all keys, which are named by their digests."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def now(self) -> float:
        """The time by which all processes reckon: seconds since the epoch."""
        return self._database.clock()

    async def draw(self, digest: str, draws: Sequence[Draw]) -> Sequence[Drawn]:
        return await self._database.write(draw, digest, draws, self.now)

    def settle(self, settled: Settled) -> None:
        """With the next transaction, within a second. To be called in the event loop."""
        self._database.later(settle_all, (settled, self.now))

    async def hold(self, digest: str, owner: str, most: int) -> bool:
        """A slot more for a process, if all processes have less than `most` of them."""
        return await self._database.write(hold, digest, owner, most, self.now)

    async def free(self, digest: str, owner: str) -> None:
        """A slot less."""
        await self._database.write(free, digest, owner)

    async def renew(self, owner: str) -> None:
        """The slots of a process lapse no earlier than a lease from now."""
        await self._database.write(renew, owner, self.now)


def begun(window: BudgetWindow, now: float) -> float:
    """When the day or the month began that it is now."""
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return (day if window == "day" else day.replace(day=1)).timestamp()


def draw(digest: str, draws: Sequence[Draw], now: float) -> Steps[list[Drawn]]:
    found = []
    for each in sorted(draws, key=lambda each: each.allowance.kind):
        used = yield from _used(digest, each.allowance, now)
        given = each.given(each.allowance.limit - used)
        if given:
            yield from _write(digest, each.allowance, used + given, now)
        found.append(Drawn(given, used + given, now))
    return found


def settle_all(settled: Sequence[tuple[Settled, float]]) -> Steps[None]:
    for each, now in sorted(settled, key=lambda pair: (pair[0].digest, pair[0].allowance.kind)):
        used = yield from _used(each.digest, each.allowance, now)
        yield from _write(each.digest, each.allowance, max(0.0, used + each.more), now)


def _used(digest: str, allowance: Allowance, now: float) -> Steps[float]:
    """What is used of it, held on to."""
    sql = """
        INSERT INTO key_allowances (digest, kind, used, at) VALUES ($1, $2, 0, $3)
        ON CONFLICT (digest, kind) DO UPDATE SET kind = excluded.kind RETURNING used, at"""
    ((used, at),) = yield Statement(sql, (digest, allowance.kind, now))
    return allowance.used(used, at, now)


def _write(digest: str, allowance: Allowance, used: float, now: float) -> Steps[None]:
    sql = "UPDATE key_allowances SET used = $3, at = $4 WHERE digest = $1 AND kind = $2"
    yield Statement(sql, (digest, allowance.kind, float(used), now))


def hold(digest: str, owner: str, most: int, now: float) -> Steps[bool]:
    yield from alone("slots", digest)
    sql = "SELECT coalesce(CAST(sum(slots) AS BIGINT), 0) FROM key_slots WHERE digest = $1 AND until >= $2"
    ((held,),) = yield Statement(sql, (digest, now))
    if held >= most:
        return False
    yield Statement("DELETE FROM key_slots WHERE digest = $1 AND until < $2", (digest, now))
    sql = """
        INSERT INTO key_slots (digest, owner, slots, until) VALUES ($1, $2, 1, $3)
        ON CONFLICT (digest, owner) DO UPDATE SET slots = key_slots.slots + 1, until = excluded.until"""
    yield Statement(sql, (digest, owner, now + LEASE))
    return True


def free(digest: str, owner: str) -> Steps[None]:
    sql = "UPDATE key_slots SET slots = slots - 1 WHERE digest = $1 AND owner = $2"
    yield Statement(sql, (digest, owner))
    yield Statement("DELETE FROM key_slots WHERE digest = $1 AND owner = $2 AND slots <= 0", (digest, owner))


def renew(owner: str, now: float) -> Steps[None]:
    yield Statement("UPDATE key_slots SET until = $2 WHERE owner = $1", (owner, now + LEASE))
