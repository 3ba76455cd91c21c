"""A background response has nobody who would ask again when its model is busy, or still starts: it waits."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from antiphon.model import Delta
from antiphon.protocol.errors import ApiError, RateLimited

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
"""Seconds between attempts: a minute in all, or as long as the upstream says."""
LONGEST = 300.0
"""Seconds that an upstream may ask for."""

Deltas = AsyncGenerator[Sequence[Delta], None]


async def with_retries(ask: Callable[[], Deltas], pauses: Sequence[float] = PAUSES) -> Deltas:
    """The answer of a model that may have to be asked several times before it says anything. Raises the
    ApiError with which it is given up."""
    for pause in (*pauses, None):
        said = False
        try:
            async with aclosing(ask()) as deltas:
                async for batch in deltas:
                    said = said or bool(batch)
                    yield batch
            return
        except ApiError as fault:
            if pause is None or said or not _may_pass(fault):
                raise
            await asyncio.sleep(min(max(pause, fault.retry_after or 0), LONGEST))


def _may_pass(fault: ApiError) -> bool:
    if isinstance(fault, RateLimited):
        return fault.code != "insufficient_quota"
    return fault.retry_after is not None
