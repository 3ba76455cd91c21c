"""Background runs: accepted, queued, carried by some server process, cancelled, gone on with after a crash.

Whoever accepts a request only writes it down. Every process claims runs from the queue that the store keeps,
as many at a time as it may carry, and goes on from what the log says: with a run that was just accepted as
with one whose process died. So a crash is nothing special: it leaves a run with a longer log.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import structlog
from msgspec import Struct
from msgspec.structs import replace

from antiphon.context.seal import Seal
from antiphon.engine.background.run_worker import RUN, PreparedRun, RunWorker, WorkerDeps
from antiphon.engine.engine import Engine
from antiphon.engine.prepare.preparation import Plan, RunRequest
from antiphon.engine.run import rows, without_output
from antiphon.protocol.errors import RateLimited
from antiphon.protocol.ids import new_request_id
from antiphon.protocol.parse import Parsed
from antiphon.protocol.response import Response
from antiphon.protocol.wire import encode
from antiphon.store.base import ResponseRow
from antiphon.store.runs import AcceptedRun, Claim, QueueFull
from antiphon.stream.machine import Machine
from antiphon.webhooks.sender import Webhooks

log = structlog.get_logger()

LEASE = 5.0
"""Seconds after which the runs of a process that died are taken over."""
RENEWAL = 1.5
WATCH = 0.25
"""Seconds in which a process finds out that a run of its own was cancelled through another one."""
IDLE = 1.0
"""Seconds in which it finds out that a run waits that another process accepted or left."""
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


class Background:
    """The background runs of a server process. `ended` is told every response that ended here."""

    def __init__(
        self,
        engine: Engine,
        seal: Seal,
        webhooks: Webhooks,
        capacity: Capacity,
        ended: Callable[[Response], None],
    ) -> None:
        self._deps = WorkerDeps(engine, seal, webhooks)
        self._runs = self._deps.runs
        self._capacity = capacity
        self._ended = ended
        self._owner = new_request_id()
        self._carried: dict[str, tuple[RunWorker, asyncio.Task[None]]] = {}
        self._coming = 0
        """Runs that are just being accepted, of which each may be ours."""
        self._awake = asyncio.Event()

    async def accept(self, project: str, parsed: Parsed) -> Response:
        """Write a request down; durable when this returns the response, queued. Raises ApiError."""
        async with self._deps.engine.planned(project, parsed) as plan:
            machine = Machine(plan.response, plan.new_id)
            machine.create()
            told = [encode(event) for event in machine.drain()]
            response = machine.snapshot()
            run = AcceptedRun(
                response=_row(plan, response),
                request=self._sealed(project, parsed, plan),
                events=told,
                streamed=bool(plan.request.stream),
            )
            claim = await self._accepted(project, run)
        if claim is not None:
            self._take(claim, PreparedRun(plan, told))
        else:
            self._awake.set()
        return response

    async def _accepted(self, project: str, run: AcceptedRun) -> Claim | None:
        owner = self._owner if self._has_room else None
        self._coming += 1
        try:
            return await self._runs.accept(project, run, self._capacity.queue, owner, LEASE)
        except QueueFull:
            raise RateLimited(
                "Too many background responses wait for their turn. Please try again later.",
                code="rate_limit_exceeded",
                retry_after=RETRY_AFTER,
            ) from None
        finally:
            self._coming -= 1

    @property
    def _has_room(self) -> bool:
        return len(self._carried) + self._coming < self._capacity.runs

    async def cancel(self, project: str, response_id: str) -> None:
        """Cancel a run, wherever it is carried; returns when it has ended, or will not do so soon."""
        if not await self._runs.cancel(project, response_id):
            return
        if response_id in self._carried:
            worker, task = self._carried[response_id]
            worker.cancel(task)
        with suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_TIMEOUT):
                await self._until_ended(project, response_id)

    async def _until_ended(self, project: str, response_id: str) -> None:
        """A run that waits, or whose process died, is ended here."""
        while await self._runs.running(project, response_id):
            if response_id not in self._carried:
                claim = await self._runs.claim(self._owner, LEASE, (project, response_id))
                if claim is not None:
                    self._take(claim)
            await self._runs.news(response_id)

    @asynccontextmanager
    async def carrying(self) -> AsyncIterator[None]:
        """Runs are carried while the block runs. When it is left they are handed over as they are."""
        tasks = [asyncio.create_task(self._serve()), asyncio.create_task(self._watch())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for worker, carrying in self._carried.values():
                worker.release(carrying)
            carried = [task for _, task in self._carried.values()]
            await asyncio.gather(*tasks, *carried, return_exceptions=True)
            await self._runs.release(self._owner)

    async def _serve(self) -> None:
        """Claim what waits, as long as there is room."""
        while True:
            self._awake.clear()
            try:
                while self._has_room:
                    claim = await self._runs.claim(self._owner, LEASE)
                    if claim is None:
                        break
                    self._take(claim)
            except Exception:
                log.exception("no run could be claimed")
            with suppress(TimeoutError):
                async with asyncio.timeout(IDLE):
                    await self._awake.wait()

    def _take(self, claim: Claim, prepared: PreparedRun | None = None) -> None:
        if claim.id in self._carried:
            return  # our own, whose lease we renewed too late
        worker = RunWorker(self._deps, claim, self._capacity.seconds, prepared)
        self._carried[claim.id] = worker, asyncio.create_task(self._carry(worker))

    async def _carry(self, worker: RunWorker) -> None:
        try:
            response = await worker.carry()
            if response is not None:
                self._ended(response)
        except Exception:
            # Nobody renews the lease now: another claim tries again.
            log.exception("run could not be carried", response_id=worker.claim.id)
        finally:
            del self._carried[worker.claim.id]
            self._awake.set()

    async def _watch(self) -> None:
        """Keep hold of what is carried here, and find out what is no longer to be."""
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while True:
            await asyncio.sleep(WATCH)
            if not self._carried:
                continue
            try:
                if loop.time() > renewed + RENEWAL:
                    await self._runs.renew(self._owner, LEASE, list(self._carried))
                    renewed = loop.time()
                await self._look()
            except Exception:
                log.exception("runs could not be looked after")

    async def _look(self) -> None:
        held = await self._runs.held(self._owner)
        for response_id, (worker, task) in self._carried.items():
            if held.get(response_id):
                worker.cancel(task)
            elif response_id not in held:
                worker.release(task)  # deleted, or taken over

    def _sealed(self, project: str, parsed: Parsed, plan: Plan) -> bytes:
        accepted = RunRequest(
            replace(parsed.request, input=""), plan.trigger, plan.only_compacts, list(plan.inline_tools)
        )
        return self._deps.seal.seal(project, RUN, encode(accepted).decode()).encode()


def _row(plan: Plan, response: Response) -> ResponseRow:
    return ResponseRow(
        id=response.id,
        created_at=response.created_at,
        json=without_output(response),
        input=rows(plan.input),
        output=(),
        previous_response_id=plan.request.previous_response_id,
        conversation_id=plan.request.conversation_id,
    )
