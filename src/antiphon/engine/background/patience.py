"""How long a background response may wait for quiet times (`background_options`).

A completion window says by when a response is wanted. It begins when this process has little to do for
clients who wait, and at the latest when a quarter of its window is left; from then on it is due as any other.
"""

from typing import Final

from antiphon.protocol.request import CreateResponse

_WINDOWS: Final = {"2h": 2 * 60 * 60.0, "8h": 8 * 60 * 60.0}
_WAITING: Final = 0.75
"""The part of a window in which it may wait."""


def patience_of(request: CreateResponse) -> float:
    """Seconds; 0: it is wanted soonest."""
    options = request.background_options
    return _WAITING * _WINDOWS.get((options and options.completion_window) or "soonest", 0.0)


def continuation_of(request: CreateResponse) -> str | None:
    options = request.background_options
    return options.continuation_id if options else None
