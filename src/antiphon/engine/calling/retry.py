"""A background response has nobody who would ask again when its model is busy, or still starts: it waits."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from antiphon.engine.calling.ask import Ask
from antiphon.model import Deltas, Turn, has_output
from antiphon.protocol.errors import ApiError, RateLimited

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between attempts: a minute in all, or as long as the upstream says."""
LONGEST = 300.0
"""Seconds that an upstream may ask for."""


class Retries:
    """Asks again as long as the model has given no output."""

    def __init__(self, ask: Ask, pauses: Sequence[float] = PAUSES) -> None:
        self._ask = ask
        self._pauses = pauses

    async def stream(self, turn: Turn) -> Deltas:
        """The answer. Raises the ApiError with which it is given up."""
        for pause in (*self._pauses, None):
            answered = False
            try:
                async with aclosing(self._ask(turn)) as deltas:
                    while not answered:
                        batch = await anext(deltas)
                        answered = has_output(batch)
                        pour = yield batch
                    while True:  # it will not be asked again
                        pour = yield await deltas.asend(pour)
            except StopAsyncIteration:
                return
            except ApiError as fault:
                if pause is None or answered or not _may_pass(fault):
                    raise
                await asyncio.sleep(min(max(pause, fault.retry_after or 0), LONGEST))


def _may_pass(fault: ApiError) -> bool:
    if isinstance(fault, RateLimited):
        return fault.code != "insufficient_quota"
    return fault.retry_after is not None
