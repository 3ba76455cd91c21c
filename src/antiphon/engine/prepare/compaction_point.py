"""When a context is compacted before it is answered."""

from antiphon.engine.calling.model_caller import ModelCaller
from antiphon.model import Turn
from antiphon.protocol.request import CreateResponse

DEFAULT_WINDOW = 128_000
"""Tokens of context that a model is taken to have when nobody says."""
_FILLED = 0.8
"""The part of the window behind which a context is compacted, when the request names no threshold."""


async def exceeds_threshold(request: CreateResponse, caller: ModelCaller, turn: Turn) -> bool:
    """Whether the context has grown past the threshold that `context_management` sets."""
    if not request.context_management:
        return False
    window = caller.capabilities.context_window or DEFAULT_WINDOW
    threshold = request.context_management[0].compact_threshold or int(_FILLED * window)
    return await caller.count(turn) > threshold
