"""One background run, from where its log stands to its end."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Literal, TypeVar

import msgspec
import structlog

from antiphon.engine.activity import activity_of, tokens_of
from antiphon.engine.background.journal import Journal
from antiphon.engine.background.owner import is_dead
from antiphon.engine.checkpoint import Checkpoint
from antiphon.engine.engine import Engine
from antiphon.engine.event_log import EventLog
from antiphon.engine.prepare.plan import Plan
from antiphon.engine.run import failure
from antiphon.protocol.errors import ApiError, UpstreamTimeout
from antiphon.protocol.ids import item_ids
from antiphon.protocol.response import Response
from antiphon.store.activity import ActivityRow
from antiphon.store.allowances import settlement
from antiphon.store.errors import LostRun
from antiphon.store.faults import Unreachable
from antiphon.store.keys import KeyUse
from antiphon.store.run_log import Claim
from antiphon.stream import table
from antiphon.stream.machine import Machine
from antiphon.stream.resume import resume
from antiphon.webhooks.webhooks import Webhooks

log = structlog.get_logger()

Stage = Literal["reading", "running", "ending"]
"""What a worker does: it reads what there is, goes on with it, or writes the end, which nothing stops."""

T = TypeVar("T")

_PATIENCE = 0.5
"""Seconds between two questions whether the store is back."""

CLAIMS = 100
"""How often a run is continued. One that kills its server every time must not do so for ever."""

DEATHS = 3
"""How many processes may die under a run that does not get on. Under the last of them it is done alone."""

_INTERRUPTED = ApiError("The run was interrupted too often.")
_DEADLY = ApiError(f"The server died {DEATHS} times while it worked on this response, and did not get on.")
_BROKEN = ApiError("The server had an error while processing your request.")


class RunWorker:
    """Does a claimed run. `seconds`: how long it may take since it was first claimed."""

    def __init__(
        self,
        engine: Engine,
        webhooks: Webhooks,
        claim: Claim,
        seconds: float,
    ) -> None:
        self.stage: Stage = "reading"
        self._engine = engine
        self._webhooks = webhooks
        self._claim = claim
        self._seconds = claim.started_at + seconds - time.time()
        self._cancelled = claim.cancelled
        self._deaths = claim.deaths
        self._released = False
        self._broken = False
        self._finished = False
        """Whether its end is kept."""
        self._clock: asyncio.Timeout | None = None
        self._checkpoint = msgspec.json.decode(claim.progress or b"{}", type=Checkpoint)
        self._journal = Journal(engine.store.runs, claim, self._checkpoint)
        self._plan: Plan | None = None
        self._events: EventLog | None = None

    @property
    def name(self) -> str:
        return self._claim.id

    def prepare(self, plan: Plan, events: EventLog) -> None:
        """Take all that would have to be read again of a run that was accepted here just now."""
        self._plan, self._events = plan, events

    async def alone(self) -> bool:
        """Whether nothing else may be done beside it, since it may take it along."""
        claim = self._claim
        if claim.left_by is not None and await asyncio.to_thread(is_dead, claim.left_by):
            self._deaths = 0 if claim.advanced else claim.deaths + 1
            await self._engine.store.runs.note_deaths(claim, self._deaths)
        return self._deaths == DEATHS - 1

    def cancel(self, task: asyncio.Task[None]) -> None:
        """End the run as cancelled, unless it is about to end."""
        if not self._cancelled:
            self._cancelled = True
            self._interrupt(task)

    def release(self, task: asyncio.Task[None]) -> None:
        """Leave it to others as it is, unless it is about to end."""
        if not self._released:
            self._released = True
            self._journal.stop()
            self._interrupt(task)

    def _interrupt(self, task: asyncio.Task[None]) -> None:
        if self.stage == "running":
            task.cancel()

    async def work(self) -> None:
        """To the end, unless the run is somebody else's by then."""
        with self._engine.background_span(self._claim.project, self._claim.request, self._plan) as span:
            try:
                events = self._events or await self._resumed()
                if not self._released:
                    await self._to_the_end(events)
            except LostRun:
                log.info("run is done elsewhere", response_id=self._claim.id)
            finally:
                if span is not None and not self._finished:
                    span.leave()

    async def _resumed(self) -> EventLog:
        """What its log gives; that of hours is read apart, since it takes a while."""
        if self._claim.claims > CLAIMS + 1:  # not even an end of what it says could be written
            return await self._unreadable()
        new_id = item_ids(self._claim.id)
        lines = await self._patiently(partial(self._engine.store.runs.log, self._claim))
        try:
            found = await asyncio.to_thread(lambda: resume(map(msgspec.json.decode, lines), new_id))
        except Exception:  # whatever is wrong with it, the run must end
            log.exception("log cannot be continued", response_id=self._claim.id)
            return await self._unreadable()
        return self._engine.log(found.machine, found.fold)

    async def _unreadable(self) -> EventLog:
        """A log that can only be ended."""
        found = await self._engine.store.responses.get(self._claim.project, self._claim.id)
        if found is None:
            raise LostRun
        self._broken = True
        response = msgspec.json.decode(found.json, type=Response)
        return EventLog(Machine.resumed(response, str, table.RUNNING, self._claim.next, ()), None)

    async def _to_the_end(self, events: EventLog) -> None:
        try:
            if not self._cancelled and not events.machine.ended:
                self.stage = "running"
                async with asyncio.timeout(self._seconds) as self._clock:
                    await self._execute(events)
        except asyncio.CancelledError:
            if not self._cancelled:
                await self._hand_over(events)
                raise
        except TimeoutError:
            await self._fail(events, UpstreamTimeout("The response took longer than this server allows."))
        except LostRun:
            raise
        except ApiError as fault:
            await self._fail(events, fault)
        except Exception:
            log.exception("run failed", response_id=self._claim.id)
            await self._fail(events, _BROKEN)
        if self.stage != "ending":
            await self._cancel(events)

    async def _execute(self, events: EventLog) -> None:
        """Raises ApiError when it cannot be continued."""
        if self._broken:
            raise _BROKEN
        if self._claim.claims > CLAIMS:
            raise _INTERRUPTED
        if self._deaths >= DEATHS:
            raise _DEADLY
        plan = self._plan
        if plan is None:
            plan = self._plan = await self._patiently(partial(self._planned, events.machine.snapshot()))
        run = self._engine.begun(plan, events, self._checkpoint, partial(self._finish, events))
        self._engine.making.begin(plan, events)
        try:
            await run.execute(self._journal.write, at_once=self._journal.write_at_once)
        finally:
            self._engine.making.end(plan, events)

    async def _planned(self, response: Response) -> Plan:
        """The plan again, from what was kept of the request. Raises ApiError."""
        stored = await self._engine.store.runs.context(self._claim)
        return await self._engine.planned_again(self._claim.project, self._claim.request, stored, response)

    async def _patiently(self, read: Callable[[], Awaitable[T]]) -> T:
        """What is read of the store. While that is away it is waited for, until the run is left to others:
        who has a run goes on with it when the store is back. Raises LostRun then, and what `read` raises."""
        while not self._released:
            try:
                return await read()
            except Unreachable as error:
                log.warning("run waits for the store", response_id=self._claim.id, error=str(error))
                await asyncio.sleep(_PATIENCE)
        raise LostRun

    async def _cancel(self, events: EventLog) -> None:
        """It ends as cancelled, unless it had just ended by itself."""
        if not events.machine.ended:
            events.machine.cancel(self._checkpoint.usage)
        await self._finish(events, events.machine.snapshot())

    async def _fail(self, events: EventLog, fault: ApiError) -> None:
        if not events.machine.ended:
            events.machine.fail(failure(fault), self._checkpoint.usage, fault.type)
        await self._finish(events, events.machine.snapshot())

    async def _finish(self, events: EventLog, response: Response) -> None:
        self.stage = "ending"
        if self._clock is not None:
            with suppress(RuntimeError):  # it is over, or just runs out
                self._clock.reschedule(None)
        deliveries = await self._patiently(
            lambda: self._webhooks.deliveries_for(
                self._claim.project, response.id, response.status, time.time()
            )
        )
        use = self._use()
        row = self._activity(response, use)
        counted = (
            () if use is None else settlement(use, tokens_of(row, use), self._engine.store.allowances.now)
        )
        await self._journal.finish(response, events.drain(), deliveries, row, counted)
        self._finished = True
        self._engine.ended(row, None)
        self._webhooks.wake()

    def _use(self) -> KeyUse | None:
        """What it counts to. A run may end before there is a plan of it."""
        if self._plan is not None:
            return self._plan.use
        with suppress(ApiError):
            return self._engine.counted_to(self._claim.project, self._claim.request)
        return None

    def _activity(self, response: Response, use: KeyUse | None) -> ActivityRow:
        backend = self._plan.caller.backend_name if self._plan is not None else None
        return activity_of(
            self._claim.project,
            response,
            started_at=response.created_at,
            first_at=self._checkpoint.first_at,
            backend=backend,
            use=use,
        )

    async def _hand_over(self, events: EventLog) -> None:
        """What was emitted is kept for who goes on."""
        with suppress(LostRun):
            await self._journal.write(events.drain())
            await self._journal.flush()
