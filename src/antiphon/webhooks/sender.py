"""Sends an endpoint what is due, until it is delivered or given up.

A sender sleeps until its next delivery is due, but never long: other processes may have written something.
What was under way when a process died is due again when its lease ends; so an event may come twice, never not
at all.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

import structlog
from msgspec import Struct

from antiphon.store.webhooks import Deliveries, Outcome, Taken
from antiphon.webhooks.endpoints import Endpoint
from antiphon.webhooks.schedule import next_attempt, seconds_asked
from antiphon.webhooks.sending import Client, NotSent, Reply

log = structlog.get_logger()

LEASE_SECONDS = 60.0
"""How long nobody else takes what is being sent: an attempt, and writing down what became of it."""
AT_ONCE = 8
"""How many deliveries an endpoint gets at the same time."""
POLL_SECONDS = 5.0
"""How long what another process has written may lie."""

_GONE = 410
"""By the Standard Webhooks specification: don't come again."""


Find = Callable[[], Awaitable[Endpoint | None]]
"""Gives an endpoint as it is now; None: it is gone."""


class Patience(Struct, frozen=True):
    """How long is waited for endpoints, in seconds."""

    delays: Sequence[float]
    """After each attempt that failed."""
    answer: float
    """For an answer."""


class Sender:
    """Sends one endpoint its deliveries."""

    def __init__(
        self,
        name: str,
        find: Find,
        deliveries: Deliveries,
        clock: Callable[[], float],
        patience: Patience,
    ) -> None:
        self._name = name
        self._find = find
        self._deliveries = deliveries
        self._clock = clock
        self._patience = patience
        self._woken = asyncio.Event()
        self._stopping = False
        self._under_way = 0

    def wake(self) -> None:
        self._woken.set()

    def stop(self) -> None:
        self._stopping = True
        self.wake()

    async def run(self, client: Client) -> None:
        """Until `stop`; then what is under way is finished."""
        async with asyncio.TaskGroup() as group:
            while not self._stopping:
                self._woken.clear()
                try:
                    for taken in await self._take():
                        self._under_way += 1
                        group.create_task(self._deliver(client, taken))
                    pause = await self._pause()
                except Exception:  # the top of a task: the store may be well again next time
                    log.exception("webhooks could not be read", endpoint=self._name)
                    pause = POLL_SECONDS
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._woken.wait()

    async def _take(self) -> Sequence[Taken]:
        """What is due, as much as may be sent now. Nothing is written when there is nothing."""
        free, now = AT_ONCE - self._under_way, self._clock()
        due = await self._deliveries.due(self._name)
        if not free or due is None or due > now:
            return ()
        return await self._deliveries.take(self._name, now, LEASE_SECONDS, free)

    async def _pause(self) -> float:
        """How long there is nothing to do, unless somebody wakes us: each delivery that ends does."""
        if self._under_way == AT_ONCE:
            return POLL_SECONDS
        due = await self._deliveries.due(self._name)
        return POLL_SECONDS if due is None else min(max(due - self._clock(), 0.0), POLL_SECONDS)

    async def _deliver(self, client: Client, taken: Taken) -> None:
        try:
            outcome = await self._attempt(client, taken)
            self._report(taken, outcome)
            await self._deliveries.settle(taken, outcome)
        except Exception:  # the top of a task: the delivery is due again when its lease ends
            log.exception("webhook could not be settled", delivery=taken.delivery.id)
        finally:
            self._under_way -= 1
            self.wake()

    async def _attempt(self, client: Client, taken: Taken) -> Outcome:
        endpoint = await self._find()
        if endpoint is None:
            error = "Its endpoint is gone, or its secret was sealed with another key."
            return Outcome("failed", self._clock(), None, error)
        try:
            reply = await client.send(endpoint, taken.delivery, self._clock(), self._patience.answer)
        except NotSent as fault:
            return self._failed(taken, str(fault))
        return self._judged(taken, reply)

    def _judged(self, taken: Taken, reply: Reply) -> Outcome:
        status, now = reply.status, self._clock()
        if 200 <= status < 300:
            return Outcome("delivered", now, status)
        if status == _GONE:
            return Outcome("failed", now, status, "It answered 410: it wants no more of this.")
        asked = seconds_asked(reply.retry_after, now)
        return self._failed(taken, f"It answered {status}.", status, asked)

    def _failed(
        self, taken: Taken, error: str, http_status: int | None = None, retry_after: float | None = None
    ) -> Outcome:
        now = self._clock()
        again = next_attempt(taken.attempt, now, retry_after, self._patience.delays)
        if again is None:
            return Outcome("failed", now, http_status, error)
        return Outcome("pending", again, http_status, error)

    def _report(self, taken: Taken, outcome: Outcome) -> None:
        bound = log.bind(
            delivery=taken.delivery.id,
            endpoint=self._name,
            type=taken.delivery.type,
            response=taken.delivery.response_id,
            attempt=taken.attempt,
        )
        if outcome.status == "delivered":
            bound.info("webhook delivered")
        elif outcome.status == "failed":
            bound.error("webhook given up", error=outcome.error)
        else:
            bound.warning("webhook failed", error=outcome.error, again_in=round(outcome.at - self._clock()))
