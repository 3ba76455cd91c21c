"""What a key may still use, as one process knows it.

A meter holds portions of the key's allowances, which it drew from the store, and admits requests by them. So
of a limit of many requests each fiftieth is a transaction. Tokens are reserved before a request by an
estimate, and settled when its usage is known. What is refused is refused for a while without asking again.
"""

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from antiphon.protocol.errors import (
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    RequestsExceeded,
    TokensExceeded,
)
from antiphon.store.allowances import Allowance, Allowances, Draw, Drawn, Settled, begun
from antiphon.store.keys import KeyLimits, KeyUse

PORTIONS = 50
"""A portion is this part of a limit: so much may lie unused in each process."""
IDLE_SECONDS = 5.0
"""After which what a meter holds is given back."""
_LATER = 1.0
"""Seconds for which a refusal holds at most without asking again."""
_TRIES = 6
_PAUSE = 0.05
"""How often, and how many seconds apart, a slot is asked for: another process may just let go of one."""
_TYPICAL = 256.0
"""Tokens of an answer before any is known."""
_BYTES = 4
"""Of a request, for each token."""
_SAY = {
    "requests": ("requests per min (RPM)", RequestsExceeded),
    "tokens": ("tokens per min (TPM)", TokensExceeded),
}

Headers = list[tuple[bytes, bytes]]


class _Purse:
    """What a process holds of one allowance, and what it knows of the rest."""

    def __init__(self, allowance: Allowance) -> None:
        self.allowance = allowance
        self.held = 0.0
        self.refused_until = 0.0
        self._known = Drawn(0.0, 0.0, 0.0)

    @property
    def portion(self) -> float:
        return max(1.0, self.allowance.limit / PORTIONS)

    def capped(self, amount: float) -> float:
        """Nobody is refused for ever: what is more than the limit needs all of it."""
        return min(amount, float(self.allowance.limit))

    def needs(self, amount: float) -> Draw | None:
        if self.held >= amount:
            return None
        return Draw(self.allowance, amount - self.held, self.portion)

    def learn(self, drawn: Drawn) -> None:
        self.held += drawn.given
        self._known = drawn

    def used(self, now: float) -> float:
        """By all, without what lies here unused."""
        known = self.allowance.used(self._known.used, self._known.at, now)
        return max(0.0, known - max(0.0, self.held))

    def covers(self, amount: float) -> bool:
        return self.held >= (amount if self.allowance.window is None else min(1.0, amount))


class Admission:
    """A request that was let in. `end` is called once, when it is answered."""

    def __init__(self, meter: "Meter", reserved: float, unseen: float) -> None:
        self.reserved = reserved
        self._meter = meter
        self._base = reserved - unseen
        self._tokens: int | None = None

    def used(self, tokens: int) -> None:
        """How many tokens it took; never called: as many as were reserved."""
        self._tokens = tokens

    def hand_over(self) -> None:
        """Its tokens are settled by who goes on with it in the background."""
        self._tokens = round(self.reserved)

    async def end(self) -> None:
        if self._tokens is not None:
            self._meter.settle(self.reserved, self._tokens, self._base)
        await self._meter.leave()


class Meter:
    """The limits of one key in one process."""

    def __init__(self, digest: str, limits: KeyLimits, allowances: Allowances, owner: str) -> None:
        self._digest = digest
        self._allowances = allowances
        self._owner = owner
        self._lock = asyncio.Lock()
        self._purses: dict[str, _Purse] = {}
        self._typical = _TYPICAL
        self._last = time.monotonic()
        self.running = 0
        self.limit(limits)

    def limit(self, limits: KeyLimits) -> None:
        """The limits that hold from now on."""
        self.limits = limits
        wanted = {each.kind: each for each in allowances_of(limits)}
        if wanted == {kind: purse.allowance for kind, purse in self._purses.items()}:
            return
        self.give_back()
        self._purses = {kind: _Purse(each) for kind, each in wanted.items()}

    async def admit(self, size: int, output: int | None) -> Admission:
        """`size`: bytes of the request; `output`: tokens that its answer may have. Raises RateLimited."""
        unseen = float(output) if output is not None else self._typical
        tokens = size / _BYTES + unseen
        self._last = time.monotonic()
        amounts = {
            kind: purse.capped(1.0 if kind == "requests" else max(1.0, tokens))
            for kind, purse in self._purses.items()
        }
        async with self._lock:
            await self._draw(amounts)
            await self._enter()
            for kind, amount in amounts.items():
                self._purses[kind].held -= amount
        reserved = max((amount for kind, amount in amounts.items() if kind != "requests"), default=0.0)
        return Admission(self, reserved, unseen if output is None else 0.0)

    async def _draw(self, amounts: dict[str, float]) -> None:
        """Have as much as is needed. Raises RateLimited."""
        now = self._allowances.now
        for kind, amount in amounts.items():
            purse = self._purses[kind]
            if purse.refused_until > now and not purse.covers(amount):
                raise _refusal(purse, amount, now)
        draws = [draw for kind, amount in amounts.items() if (draw := self._purses[kind].needs(amount))]
        if not draws:
            return
        draws.sort(key=lambda draw: draw.allowance.kind)
        for draw, drawn in zip(draws, await self._allowances.draw(self._digest, draws), strict=True):
            self._purses[draw.allowance.kind].learn(drawn)
        for kind, amount in sorted(amounts.items()):
            purse = self._purses[kind]
            if not purse.covers(amount):
                refusal = _refusal(purse, amount, now)
                purse.refused_until = now + min(_LATER, refusal.retry_after or _LATER)
                raise refusal

    async def _enter(self) -> None:
        """A slot of those that may be used at once. Raises RateLimited."""
        most = self.limits.concurrency
        if most is None:
            self.running += 1
            return
        for _ in range(_TRIES):
            if await self._allowances.hold(self._digest, self._owner, most):
                self.running += 1
                return
            await asyncio.sleep(_PAUSE)
        raise RequestsExceeded(
            f"Rate limit reached for this API key on requests at once: Limit {most}. Please try again when "
            "one of them is answered.",
            code="rate_limit_exceeded",
            retry_after=1.0,
        )

    async def leave(self) -> None:
        """A request is answered."""
        self.running -= 1
        if self.limits.concurrency is not None:
            await self._allowances.free(self._digest, self._owner)

    def settle(self, reserved: float, tokens: int, base: float) -> None:
        """A request took so many tokens, of which `reserved` are held for it."""
        if tokens:
            self._typical += (max(0.0, tokens - base) - self._typical) / 8
        for kind, purse in self._purses.items():
            if kind == "requests":
                continue
            purse.held += reserved - tokens
            if purse.held < 0 or purse.held > 2 * purse.portion:
                self._return(purse)

    def _return(self, purse: _Purse) -> None:
        """What lies here, to the store; a debt as well."""
        if purse.held:
            self._allowances.settle(Settled(self._digest, purse.allowance, -purse.held))
            known = purse._known
            purse._known = Drawn(0.0, max(0.0, purse.used(known.at) + min(0.0, purse.held) * -1), known.at)
            purse.held = 0.0

    def give_back(self) -> None:
        for purse in self._purses.values():
            self._return(purse)

    @property
    def idle(self) -> float:
        """Seconds since it was last used; 0: it is used."""
        return 0.0 if self.running else time.monotonic() - self._last

    def headers(self) -> Headers:
        """What each answer says of the limits (surface as on the real API)."""
        return [header for kind in ("requests", "tokens") for header in self._said(kind)]

    def _said(self, kind: str) -> Iterator[tuple[bytes, bytes]]:
        purse = self._purses.get(kind)
        if purse is None:
            return
        used = purse.used(self._allowances.now)
        limit = purse.allowance.limit
        name = kind.encode()
        yield b"x-ratelimit-limit-" + name, b"%d" % limit
        yield b"x-ratelimit-remaining-" + name, b"%d" % max(0, limit - used)
        yield b"x-ratelimit-reset-" + name, duration(used / purse.allowance.rate).encode()


def allowances_of(limits: KeyLimits) -> Sequence[Allowance]:
    made = []
    if limits.token_budget is not None:
        made.append(Allowance("budget", limits.token_budget, window=limits.budget_window))
    if limits.requests_per_minute is not None:
        made.append(Allowance("requests", limits.requests_per_minute, limits.requests_per_minute / 60))
    if limits.tokens_per_minute is not None:
        made.append(Allowance("tokens", limits.tokens_per_minute, limits.tokens_per_minute / 60))
    return made


def settle(allowances: Allowances, use: KeyUse, tokens: int) -> None:
    """A response of the background took so many tokens."""
    for each in allowances_of(use.limits):
        if each.kind != "requests" and tokens != use.reserved:
            allowances.settle(Settled(use.digest, each, tokens - use.reserved))


def check_model(limits: KeyLimits, model: str, name: str) -> None:
    """Raises PermissionDenied, as the real API does where a project's models are limited."""
    if limits.models and not any(fnmatchcase(model, pattern) for pattern in limits.models):
        raise PermissionDenied(
            f"The API key '{name}' does not have access to model '{model[:256]}'.", code="model_not_found"
        )


def duration(seconds: float) -> str:
    """As the real API says it: `12ms`, `1.5s`, `6m0s`, `2h0m0s`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms" if seconds > 0 else "0s"
    minutes, rest = divmod(round(seconds, 3), 60)
    said = re.sub(r"\.?0+$", "", f"{rest:.3f}") or "0"
    if not minutes:
        return f"{said}s"
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}h{minutes}m{said}s" if hours else f"{minutes}m{said}s"


def _refusal(purse: _Purse, needed: float, now: float) -> RateLimited:
    limit, used = purse.allowance.limit, purse.used(now)
    if purse.allowance.window is not None:
        window = purse.allowance.window
        return QuotaExceeded(
            f"You exceeded your current quota: this API key may use {limit} tokens a {window}, and has. A "
            f"new {window} begins at midnight UTC.",
            code="insufficient_quota",
            retry_after=_ends(purse.allowance, now) - now,
        )
    seconds = max(0.001, (used + needed - limit) / purse.allowance.rate)
    said, kind = _SAY[purse.allowance.kind]
    return kind(
        f"Rate limit reached for this API key on {said}: Limit {limit}, Used {used:.0f}, Requested "
        f"{needed:.0f}. Please try again in {duration(seconds)}.",
        code="rate_limit_exceeded",
        retry_after=seconds,
    )


def _ends(allowance: Allowance, now: float) -> float:
    """When a budget's window ends."""
    window = allowance.window or "day"
    days = 1 if window == "day" else 32
    return begun(window, begun(window, now) + days * 86400.0 + 1)
