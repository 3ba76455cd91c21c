"""The service tiers as queues and keys have them: what a request may be served in, and in which order."""

from collections.abc import Collection
from typing import Literal

Tier = Literal["priority", "default", "flex"]
TIERS: tuple[Tier, ...] = ("priority", "default", "flex")
"""In their order."""

_TIERS: dict[str | None, Tier] = {
    None: "default",
    "auto": "default",
    "default": "default",
    "priority": "priority",
    "fast": "priority",
    "ultrafast": "priority",
    "flex": "flex",
}


def tier_of(asked: str | None) -> Tier:
    """What a request's `service_tier` is here."""
    return _TIERS.get(asked, "default")


def granted(asked: str | None, allowed: Collection[Tier]) -> str | None:
    """The `service_tier` that a request gets which may have these tiers alone; none named: any. In the place
    of another one it gets the next lower one, and the lowest where there is none."""
    if not allowed or _TIERS.get(asked) in allowed:
        return asked
    lower = [tier for tier in TIERS[TIERS.index(tier_of(asked)) :] if tier in allowed]
    return lower[0] if lower else [tier for tier in TIERS if tier in allowed][-1]
