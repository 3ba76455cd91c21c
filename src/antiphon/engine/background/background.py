"""Background runs: accepted, queued, done by some server process, cancelled, continued after a crash.

Whoever accepts a request only writes it down. Every process claims runs from the queue that the store keeps,
as many at a time as it may do, and goes on from what the log says: with a run that was just accepted as with
one whose process died. So a crash is nothing special: it leaves a run with a longer log.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import NamedTuple

from msgspec import Struct

from antiphon.engine.background.owner import owner_name
from antiphon.engine.background.patience import continuation_of, patience_of
from antiphon.engine.background.run_queue import RunQueue
from antiphon.engine.background.run_worker import RunWorker
from antiphon.engine.emission import FIRST_BYTE_GRACE
from antiphon.engine.engine import Engine
from antiphon.engine.prepare.plan import Plan
from antiphon.engine.queue import LEASE, Pool
from antiphon.engine.saving import accepted_row
from antiphon.protocol.delta_runs import single
from antiphon.protocol.errors import RateLimited
from antiphon.protocol.parse import Parsed
from antiphon.protocol.response import Response
from antiphon.protocol.wire import encode
from antiphon.store.errors import QueueFull
from antiphon.store.keys import KeyUse
from antiphon.store.run_log import Claim
from antiphon.store.runs import AcceptedRun
from antiphon.stream.machine import Machine
from antiphon.webhooks.webhooks import Webhooks

RETRY_AFTER = 10.0
CANCEL_TIMEOUT = 15.0
"""Seconds that a cancellation is waited for: longer than a lease."""


class Capacity(Struct, frozen=True, kw_only=True):
    """How much runs in the background."""

    runs: int = 16
    """At once, in this process."""
    queue: int = 1000
    """Waiting, in all."""
    seconds: float = 24 * 60 * 60
    """How long one may take."""
    quiet: int = 0
    """Responses that clients wait for in this process, up to which patient runs begin here."""


class Accepted(NamedTuple):
    """What was written down."""

    response: Response
    """Queued."""
    plan: Plan
    events: Sequence[bytes]
    """The JSON of its first events."""


class Background:
    """The background runs of a server process."""

    def __init__(self, engine: Engine, webhooks: Webhooks, capacity: Capacity) -> None:
        self._engine = engine
        self._webhooks = webhooks
        self._runs = engine.store.runs
        self._capacity = capacity
        self._queue = RunQueue(self._runs, owner_name(), lambda: engine.making.awaited <= capacity.quiet)
        self._pool = Pool(self._queue, self._worker, capacity.runs)

    def at_work(self) -> int:
        """How many runs are done here now."""
        return self._pool.at_work

    def running(self) -> AbstractAsyncContextManager[None]:
        """Runs are done while the block runs. When it is left they are handed over as they are."""
        return self._pool.running()

    async def leave(self) -> None:
        """Hand over what is done here. What is accepted from now on is left to others."""
        await self._pool.leave()

    async def accept(self, project: str, parsed: Parsed, use: KeyUse | None = None) -> Accepted:
        """Write a request down; durable when this returns. It counts to `use`. Raises ApiError."""
        async with self._engine.planned(project, parsed, use) as plan:
            if plan.toolbox.waits:
                await plan.toolbox.reach(FIRST_BYTE_GRACE)
            machine = Machine(plan.response, plan.new_id)
            events = self._engine.log(machine)
            machine.create()
            response = machine.snapshot()
            run = AcceptedRun(
                response=accepted_row(plan, response),
                request=self._engine.kept_request(plan, parsed.request),
                events=[encode(event) for event in single(events.drain())],
                streamed=bool(plan.request.stream),
                patience=patience_of(parsed.request),
                continuation_id=continuation_of(parsed.request),
            )
            claim = await self._accepted(project, run)
        if claim is not None:
            worker = self._worker(claim)
            worker.prepare(plan, events)
            self._pool.take(worker)
        else:
            self._pool.wake()
        return Accepted(response, plan, run.events)

    async def _accepted(self, project: str, run: AcceptedRun) -> Claim | None:
        may_begin = self._pool.has_room and (not run.patience or self._queue.is_quiet())
        owner = self._queue.owner if may_begin else None
        with self._pool.expecting():
            try:
                return await self._runs.accept(project, run, self._capacity.queue, owner, LEASE)
            except QueueFull:
                raise RateLimited(
                    "Too many background responses wait for their turn. Please try again later.",
                    code="rate_limit_exceeded",
                    retry_after=RETRY_AFTER,
                ) from None

    async def cancel(self, project: str, response_id: str) -> None:
        """Cancel a run, wherever it is done; returns when it has ended, or will not do so soon."""
        if not await self._runs.cancel(project, response_id):
            return
        self._pool.cancel(response_id)
        with suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_TIMEOUT):
                await self._until_ended(project, response_id)

    async def _until_ended(self, project: str, response_id: str) -> None:
        """A run that waits, or whose process died, is ended here."""
        while await self._runs.running(project, response_id):
            if response_id not in self._pool:
                claim = await self._queue.claim_run(project, response_id, LEASE)
                if claim is not None:
                    self._pool.take(self._worker(claim))
            await self._runs.wait_for_events(response_id)

    def _worker(self, claim: Claim) -> RunWorker:
        return RunWorker(self._engine, self._webhooks, claim, self._capacity.seconds)
