"""What one key may still use, as one process knows it.

A meter holds portions of the key's allowances, which it drew from the store, and admits requests by them: of
a limit of many requests each fiftieth is a transaction. Tokens are reserved before a request by an estimate,
and settled when its usage is known.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence

from antiphon.keys.estimate import Estimate
from antiphon.keys.late import finished
from antiphon.keys.places import Places
from antiphon.keys.purse import Purse
from antiphon.keys.refusals import Headers
from antiphon.store.allowances import Allowances, Drawn, Settled, allowances_of
from antiphon.store.keys import KeyUse

_KINDS = ("budget", "requests", "tokens")
"""In the order in which they are refused: to wait for a minute is no use when the month is over."""


class Meter:
    """The limits of one key in one process. `use` says whose it is."""

    def __init__(self, use: KeyUse, allowances: Allowances, places: Places) -> None:
        self._use = use
        self._allowances = allowances
        self._lock = asyncio.Lock()
        self._purses: dict[str, Purse] = {}
        self._estimate = Estimate(0)
        self._last = time.monotonic()
        self.places = places
        self.limit(use)

    def limit(self, use: KeyUse) -> None:
        """The limits that hold from now on."""
        self._use = use
        wanted = {each.kind: each for each in allowances_of(use.limits)}
        if wanted == {kind: purse.allowance for kind, purse in self._purses.items()}:
            return
        self.give_back()
        self._purses = {kind: Purse(use.digest, wanted[kind]) for kind in _KINDS if kind in wanted}
        tokens = [each.limit for each in wanted.values() if each.kind != "requests"]
        self._estimate = Estimate(min(tokens, default=0))

    async def admit(self, size: int, output: int | None) -> "Admission":
        """`size`: bytes of the request; `output`: tokens that its answer may have. Raises RateLimited."""
        self._last = time.monotonic()
        seen = self._estimate.seen(size)
        tokens = self._estimate.of(seen, output)
        await self.places.enter(self._use.name, self._use.limits.concurrency)
        try:
            async with self._lock:
                amounts = {
                    kind: purse.capped(1 if kind == "requests" else tokens)
                    for kind, purse in self._purses.items()
                }
                await self._draw(amounts)
                for kind, amount in amounts.items():
                    self._purses[kind].spend(amount)
        except BaseException:
            self.places.leave()
            raise
        own = self._use
        use = KeyUse(
            name=own.name,
            digest=own.digest,
            limits=own.limits,
            reserved=tokens,
            seen=seen,
            at=int(self._allowances.now),
        )
        return Admission(self, use)

    async def _draw(self, amounts: Mapping[str, int]) -> None:
        """Have as much as is needed. Raises RateLimited."""
        now, name = self._allowances.now, self._use.name
        for kind, amount in amounts.items():
            self._purses[kind].check(name, amount, now)
        draws = [draw for kind, amount in amounts.items() if (draw := self._purses[kind].draw(amount))]
        if not draws:
            return

        def keep(found: Sequence[Drawn]) -> None:
            for draw, drawn in zip(draws, found, strict=True):
                self._purses[draw.allowance.kind].take(drawn, now)

        keep(await finished(self._allowances.draw(self._use.digest, draws), keep))
        for kind, amount in amounts.items():
            if not self._purses[kind].covers(amount):
                raise self._purses[kind].refuse(name, amount, now)

    def settle(self, use: KeyUse, tokens: int) -> None:
        """A request that was let in by this meter took so many tokens."""
        if tokens:
            self._estimate.learn(use.seen, tokens)
        now = self._allowances.now
        for kind, purse in self._purses.items():
            if kind != "requests":
                self._return(purse.settle(use, tokens, now))

    def give_back(self) -> None:
        """All that is held."""
        for purse in self._purses.values():
            self._return(purse.give_back(self._allowances.now))

    def give_back_stale(self) -> None:
        for purse in self._purses.values():
            self._return(purse.stale(self._allowances.now))

    def _return(self, settled: Settled | None) -> None:
        if settled is not None:
            self._allowances.settle(settled)

    @property
    def idle(self) -> float:
        """Seconds since it was last used; 0: it is used."""
        return 0.0 if self.places.used else time.monotonic() - self._last

    def headers(self) -> Headers:
        """What each answer says of the limits."""
        now = self._allowances.now
        said: Headers = []
        for kind, purse in self._purses.items():
            if kind != "budget":
                said += purse.headers(now)
        return said


class Admission:
    """A request that was let in. `end` is called once, when it is answered."""

    def __init__(self, meter: Meter, use: KeyUse) -> None:
        self.use = use
        self._meter = meter

    def settle(self, tokens: int) -> None:
        """It took so many tokens. What comes after the first call is nothing new."""
        if not self.use.settled:
            self.use.settled = True
            self._meter.settle(self.use, tokens)

    def hand_over(self) -> None:
        """Who goes on with it in the background settles it."""
        self.use.settled = True

    def end(self) -> None:
        """What was not settled has taken none."""
        self.settle(0)
        self._meter.places.leave()
