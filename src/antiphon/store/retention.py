"""How long things are kept: what is older goes, a few at a time.

The thread that writes does nothing else while it deletes, so a sweep is made of small batches with a pause
behind each, in which others write. Several processes may sweep one store: each batch is chosen and deleted in
one transaction, so they share the work.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog
from msgspec import Struct

from antiphon.store.store import Store

log = structlog.get_logger()

HOUR, DAY = 3600.0, 86400.0
FAILED_DAYS = 30.0
"""How long a job that was given up can be looked at."""
PAUSE_SECONDS = 0.05
"""How long others have the store between two batches."""


class RetentionRule(Struct, frozen=True):
    """How long one kind of thing is kept."""

    what: str
    """For the log."""
    seconds: float
    """0: for ever."""
    expire: Callable[[float, int], Awaitable[int]]
    """Deletes what was made before a time (seconds since the epoch), the oldest first and at most so many;
    gives how many went. Fewer than it might: there are no more."""
    batch: int = 50


def retention_rules(
    store: Store, responses_days: float, events_hours: float, deliveries_days: float, activity_days: float
) -> list[RetentionRule]:
    """What is kept for so long. Conversations, files and prompts are kept until they are deleted, or as
    long as they say themselves."""
    return [
        RetentionRule("responses", responses_days * DAY, store.responses.expire),
        # They have no age of their own: that of their conversation's end counts.
        RetentionRule(
            "items of deleted conversations", responses_days * DAY, store.conversations.expire_items, batch=5
        ),
        RetentionRule("containers that have expired", responses_days * DAY, store.containers.expire),
        RetentionRule("logs of background responses", events_hours * HOUR, store.runs.expire),
        RetentionRule("webhook deliveries", deliveries_days * DAY, store.webhooks.expire, batch=500),
        RetentionRule("activity", activity_days * DAY, store.activity.expire, batch=500),
        RetentionRule("jobs that failed", FAILED_DAYS * DAY, store.work.expire, batch=500),
    ]


class Retention:
    """Keeps to the rules."""

    def __init__(
        self,
        rules: Sequence[RetentionRule],
        clock: Callable[[], float] = time.time,
        pause: float = PAUSE_SECONDS,
    ) -> None:
        """`pause`: seconds between two batches."""
        self._rules = [rule for rule in rules if rule.seconds]
        self._clock = clock
        self._pause = pause

    async def sweep(self) -> None:
        """Delete all that is over by now."""
        for rule in self._rules:
            gone = await self._apply(rule, self._clock() - rule.seconds)
            if gone:
                log.info("swept", what=rule.what, gone=gone)

    async def _apply(self, rule: RetentionRule, before: float) -> int:
        gone = last = await rule.expire(before, rule.batch)
        while last == rule.batch:
            await asyncio.sleep(self._pause)
            last = await rule.expire(before, rule.batch)
            gone += last
        return gone
