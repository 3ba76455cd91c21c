"""What one process holds of an allowance, and what it knows of the rest."""

from antiphon.keys import refusals
from antiphon.keys.refusals import Headers
from antiphon.protocol.errors import RateLimited
from antiphon.store.allowances import Allowance, Draw, Drawn, Settled, Slots
from antiphon.store.keys import KeyUse

HELD_SECONDS = 5.0
"""How long something is held that is not used."""
_PORTIONS = {"requests": 50, "tokens": 50, "budget": 500}
"""A portion is this part of a limit: so much may lie unused in each process, and be lost with it."""
_LATER = 1.0
"""Seconds for which a refusal holds at most before the store is asked again."""


class Purse:
    def __init__(self, digest: str, allowance: Allowance) -> None:
        self.allowance = allowance
        self._digest = digest
        self._held = 0
        self._portion = max(1, allowance.limit // _PORTIONS[allowance.kind])
        self._slots: Slots = ()
        """All that is used, as it was known last."""
        self._counted: tuple[int, Slots] = (0, ())
        """The second and the slots for which it is known how much is used, and when all is there again:
        each answer says it."""
        self._known, self._full_at = 0, 0.0
        self._drawn_at = 0.0
        self._refused_until = 0.0

    def capped(self, amount: int) -> int:
        """Nobody is refused for ever: what is more than the limit needs all of it."""
        return min(amount, self.allowance.limit)

    def covers(self, amount: int) -> bool:
        return self._held >= amount

    def draw(self, amount: int) -> Draw | None:
        """What has to be drawn to spend so much."""
        if self._held >= amount:
            return None
        return Draw(self.allowance, amount - self._held, self._portion)

    def take(self, drawn: Drawn, now: float) -> None:
        self._held += drawn.given
        self._slots = drawn.slots
        self._drawn_at = now

    def check(self, name: str, amount: int, now: float) -> None:
        """Raises RateLimited when so much is not here, and cannot be drawn either as far as is known."""
        if not self.covers(amount) and now < self._refused_until:
            raise self._refusal(name, amount, now)

    def refuse(self, name: str, amount: int, now: float) -> RateLimited:
        """So much could not be drawn."""
        refusal = self._refusal(name, amount, now)
        self._refused_until = now + min(_LATER, refusal.retry_after or _LATER)
        return refusal

    def spend(self, amount: int) -> None:
        self._held -= amount

    def settle(self, use: KeyUse, tokens: int, now: float) -> Settled | None:
        """A request took so many tokens. What it leaves of those that were reserved is spent here if it is
        little, and else goes back to where it counts; if that is long ago, it counts no more."""
        more = tokens - self.capped(use.reserved)
        if more < 0 and self.allowance.slot(use.at) < self.allowance.since(now):
            return None
        if more < 0 and self._held - more > 2 * self._portion:
            return self._settled(more, now, use.at)
        self._held -= more
        return self.give_back(now) if self._held < 0 else None

    def stale(self, now: float) -> Settled | None:
        """What has been held for too long, or is owed."""
        return self.give_back(now) if now - self._drawn_at > HELD_SECONDS else None

    def give_back(self, now: float) -> Settled | None:
        """All that is held, or owed."""
        held, self._held = self._held, 0
        return self._settled(-held, now, int(self._drawn_at)) if held else None

    def _settled(self, more: int, now: float, at: int) -> Settled:
        slot = self.allowance.slot(now)
        last, used = self._slots[-1] if self._slots else (slot, 0)
        self._slots = (*self._slots[:-1], (last, max(0, used + more)))
        return Settled(self._digest, self.allowance.kind, slot, more, at)

    def headers(self, now: float) -> Headers:
        used, full_at = self._used(now), self._full_at
        return refusals.headers(self.allowance, used, full_at - now if used else 0.0)

    def _used(self, now: float) -> int:
        """By all, without what lies here unused."""
        if self._counted != (int(now), self._slots):
            self._counted = int(now), self._slots
            self._known = self.allowance.used(self._slots, now)
            self._full_at = self.allowance.free_at(self._slots, self.allowance.limit, now)
        return max(0, self._known - max(0, self._held))

    def _refusal(self, name: str, amount: int, now: float) -> RateLimited:
        wanted = max(1, amount - self._held)
        seconds = max(0.001, self.allowance.free_at(self._slots, wanted, now) - now)
        return refusals.over(name, self.allowance, self._used(now), amount, seconds)
