"""When a delivery that failed is tried again: the sooner the younger it is, for three days in all."""

import random
from collections.abc import Callable, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

_MINUTE, _HOUR = 60, 3600

DELAYS: Final[Sequence[float]] = (
    *(5, 30, 2 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE),
    *(1 * _HOUR, 2 * _HOUR, 4 * _HOUR, 8 * _HOUR, 12 * _HOUR, 20 * _HOUR, 24 * _HOUR),
)
"""Seconds after each failure. Together 72 hours, as on the real API."""
SPREAD: Final = 0.1
"""By which part a delay is longer or shorter, so that what failed together does not come back together."""
LONGEST_WISH: Final = 24 * _HOUR
"""How long an endpoint can put us off with Retry-After, in seconds."""


def next_attempt(
    attempt: int,
    now: float,
    retry_after: float | None = None,
    delays: Sequence[float] = DELAYS,
    chance: Callable[[], float] = random.random,
) -> float | None:
    """When to try again after the `attempt`th failure (from 1); None: it is given up. Times are seconds
    since the epoch; `retry_after` are the seconds that the endpoint asked for; `chance` gives 0 to 1."""
    if attempt > len(delays):
        return None
    delay = delays[attempt - 1] * (1 + SPREAD * (2 * chance() - 1))
    return now + max(delay, min(retry_after or 0.0, LONGEST_WISH))


def seconds_asked(header: str | None, now: float) -> float | None:
    """The header Retry-After as seconds from `now`: a number or a date (RFC 9110, 10.2.3)."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now, 0.0)
