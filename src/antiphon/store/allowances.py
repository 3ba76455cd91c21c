"""What was used of the limits of keys, by all processes of all servers together.

What is used counts for a window: the sixty seconds behind now, so no minute has more than the limit wherever
it begins; or the day or month of UTC. A row is a slot, a second or a day, with what was used in it. Processes
*draw* in portions and settle later what they used more or less, so few requests are a transaction of their
own. What is drawn counts as used at once: nobody draws more than there is.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from msgspec import Struct

from antiphon.store.database import Database
from antiphon.store.keys import KeyLimits, KeyUse
from antiphon.store.statements import Statement, Steps, alone

Kind = Literal["budget", "requests", "tokens"]
Window = Literal["minute", "day", "month"]
Slots: TypeAlias = tuple[tuple[int, int], ...]
"""When each begins, in seconds since the epoch, and what was used in it; the oldest first."""

MINUTE = 60
_LAST = 10
"""Of what is free, the part that one portion may be: the less there is, the less lies unused in a process."""


class Allowance(Struct, frozen=True):
    """So much in any window."""

    kind: Kind
    limit: int
    window: Window = "minute"

    def slot(self, now: float) -> int:
        return int(now) if self.window == "minute" else begun("day", now)

    def since(self, now: float) -> int:
        """The first slot that counts. One that is partly in the minute counts whole."""
        return int(now) - MINUTE if self.window == "minute" else begun(self.window, now)

    def used(self, slots: Slots, now: float) -> int:
        since = self.since(now)
        return sum(used for slot, used in slots if slot >= since)

    def free_at(self, slots: Slots, wanted: int, now: float) -> float:
        """When there are `wanted` of it, if nobody uses more."""
        over = self.used(slots, now) + wanted - self.limit
        if self.window != "minute":
            return ended(self.window, now) if over > 0 else now
        for slot, used in slots:
            if over <= 0:
                break
            if slot >= self.since(now):
                over, now = over - used, max(now, slot + MINUTE + 1.0)
        return now


class Draw(Struct, frozen=True):
    """`needed` is wanted at least, and a portion if it can be had."""

    allowance: Allowance
    needed: int
    portion: int

    def given(self, used: int) -> int:
        free = max(0, self.allowance.limit - used)
        wanted = max(self.needed, min(self.portion, free // _LAST))
        return wanted if wanted <= free else 0


class Drawn(Struct, frozen=True):
    """What was got, and what all have used then, with that."""

    given: int
    slots: Slots


class Settled(Struct, frozen=True):
    """What was used more than was drawn. Less, if it is negative: of what was drawn at `at` or before."""

    digest: str
    kind: Kind
    slot: int
    more: int
    at: int


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
        self._database.later(settle_all, settled)


def allowances_of(limits: KeyLimits) -> Sequence[Allowance]:
    """What is counted for a key."""
    made = []
    if limits.token_budget is not None:
        made.append(Allowance("budget", limits.token_budget, limits.budget_window))
    if limits.requests_per_minute is not None:
        made.append(Allowance("requests", limits.requests_per_minute))
    if limits.tokens_per_minute is not None:
        made.append(Allowance("tokens", limits.tokens_per_minute))
    return made


def settlement(use: KeyUse, tokens: int, now: float) -> Sequence[Settled]:
    """A response took so many tokens, wherever it was let in."""
    return [
        Settled(use.digest, each.kind, each.slot(now), more, use.at)
        for each in allowances_of(use.limits)
        if each.kind != "requests" and (more := tokens - min(use.reserved, each.limit))
    ]


def begun(window: Window, now: float) -> int:
    """When the day or the month began that it is now."""
    day = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return int((day if window == "day" else day.replace(day=1)).timestamp())


def ended(window: Window, now: float) -> int:
    """When the next day or month begins."""
    return begun(window, begun(window, now) + (1 if window == "day" else 32) * 86400.0)


def draw(digest: str, draws: Sequence[Draw], now: float) -> Steps[list[Drawn]]:
    yield from alone("key_usage", digest)
    found = []
    for each in draws:
        allowance, slot = each.allowance, each.allowance.slot(now)
        slots = yield from _slots(digest, allowance.kind, allowance.since(now))
        given = each.given(sum(used for _, used in slots))
        if given and (not slots or slots[-1][0] < slot):
            yield from _forget(digest, allowance, now)
        if given:
            yield from _count(digest, allowance.kind, slot, given)
            slots = _with(slots, slot, given)
        found.append(Drawn(given, slots))
    return found


def settle_all(settled: Sequence[Settled]) -> Steps[None]:
    """As a part of the rule that ends what used it, or by itself."""
    for each in sorted(settled, key=lambda each: each.digest):
        yield from alone("key_usage", each.digest)
        if each.more > 0:
            yield from _count(each.digest, each.kind, each.slot, each.more)
        else:
            yield from _take_back(each)


def _slots(digest: str, kind: Kind, since: int) -> Steps[Slots]:
    sql = "SELECT slot, used FROM key_usage WHERE digest = $1 AND kind = $2 AND slot >= $3 ORDER BY slot"
    return tuple((yield Statement(sql, (digest, kind, since))))


def _with(slots: Slots, slot: int, used: int) -> Slots:
    found = dict(slots)
    found[slot] = found.get(slot, 0) + used
    return tuple(sorted(found.items()))


def _count(digest: str, kind: Kind, slot: int, used: int) -> Steps[None]:
    sql = """
        INSERT INTO key_usage (digest, kind, slot, used) VALUES ($1, $2, $3, $4)
        ON CONFLICT (digest, kind, slot) DO UPDATE SET used = key_usage.used + excluded.used"""
    yield Statement(sql, (digest, kind, slot, used))


def _forget(digest: str, allowance: Allowance, now: float) -> Steps[None]:
    """What counts no more. Days are kept for their month: a budget of days may become one of months."""
    before = allowance.since(now) if allowance.window == "minute" else begun("month", now)
    sql = "DELETE FROM key_usage WHERE digest = $1 AND kind = $2 AND slot < $3"
    yield Statement(sql, (digest, allowance.kind, before))


def _take_back(settled: Settled) -> Steps[None]:
    """From the newest slots that it may have been drawn from."""
    left = -settled.more
    sql = """
        SELECT slot, used FROM key_usage WHERE digest = $1 AND kind = $2 AND slot <= $3 AND used > 0
        ORDER BY slot DESC"""
    for slot, used in (yield Statement(sql, (settled.digest, settled.kind, settled.at))):
        if left == 0:
            return
        back = min(used, left)
        lower = "UPDATE key_usage SET used = used - $4 WHERE digest = $1 AND kind = $2 AND slot = $3"
        yield Statement(lower, (settled.digest, settled.kind, slot, back))
        left -= back
