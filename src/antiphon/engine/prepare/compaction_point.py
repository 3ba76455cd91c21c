"""Where a context is compacted before it is answered, if it is."""

from collections.abc import Sequence

from antiphon.backends.router import Route
from antiphon.engine.calling.truncation import count
from antiphon.model import Turn
from antiphon.protocol.item import InputItem
from antiphon.protocol.items import CompactionTrigger
from antiphon.protocol.request import CreateResponse

DEFAULT_WINDOW = 128_000
"""Tokens of context that a model is taken to have when nobody says."""
_FILLED = 0.8
"""The part of the window behind which a context is compacted, when the request names no threshold."""


def split(items: Sequence[InputItem], before: int) -> tuple[int | None, Sequence[InputItem]]:
    """The items without triggers, and how many items of the context (`before` came before these) stand
    before the last trigger."""
    plain = [item for item in items if not isinstance(item, CompactionTrigger)]
    if len(plain) == len(items):
        return None, plain
    last = max(i for i, item in enumerate(items) if isinstance(item, CompactionTrigger))
    return before + sum(not isinstance(item, CompactionTrigger) for item in items[:last]), plain


async def exceeds_threshold(request: CreateResponse, route: Route, turn: Turn) -> bool:
    """Whether the context has grown past the threshold that `context_management` sets."""
    if not request.context_management:
        return False
    window = route.capabilities.context_window or DEFAULT_WINDOW
    threshold = request.context_management[0].compact_threshold or int(_FILLED * window)
    return await count(route.backend, turn) > threshold
