"""Whether a turn is sent again: to the same server once, to others, and only before anything was said.

A server that starts, reloads or is full for a moment costs its clients a second, not an error. What takes
longer is theirs to wait for: the error says how long.
"""

from antiphon.model import Overrated
from antiphon.protocol.errors import (
    ApiError,
    ModelFault,
    NotFound,
    RateLimited,
    UpstreamError,
    UpstreamRefusal,
    UpstreamTimeout,
)

LONGEST = 2.0
"""Seconds that a server may ask to be left alone."""
_PAUSE = 0.2
"""Seconds where it does not say."""


def pause_before_retry(fault: ApiError) -> float | None:
    """Seconds to wait before a turn is sent again; None: it is not."""
    if isinstance(fault, UpstreamTimeout | UpstreamRefusal | Overrated) or not isinstance(
        fault, UpstreamError | RateLimited
    ):
        return None
    if fault.code == "insufficient_quota":
        return None
    pause = _PAUSE if fault.retry_after is None else fault.retry_after
    return pause if pause <= LONGEST else None


def another_may(fault: ApiError) -> bool:
    """Whether another server may answer what this one did not."""
    if isinstance(fault, Overrated | ModelFault):
        return False
    return isinstance(fault, UpstreamError | RateLimited | NotFound)
