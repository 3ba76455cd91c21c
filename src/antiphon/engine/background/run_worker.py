"""One background run, carried from where its log stands to its end."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Literal, NamedTuple

import msgspec
import structlog

from antiphon.context.seal import Seal
from antiphon.engine.background.journal import Journal
from antiphon.engine.engine import Engine
from antiphon.engine.prepare.preparation import Plan, RunRequest
from antiphon.engine.run import Checkpoint, Resumption, Run, failure
from antiphon.protocol.errors import ApiError, UpstreamTimeout
from antiphon.protocol.ids import new_item_id
from antiphon.protocol.response import Response
from antiphon.store.runs import Claim, LostRun, Runs
from antiphon.stream import table
from antiphon.stream.fold import Fold
from antiphon.stream.machine import Machine
from antiphon.stream.resume import Resumed, resume
from antiphon.webhooks.sender import Webhooks

log = structlog.get_logger()

Stage = Literal["reading", "writer", "ending"]
"""What a worker does: it reads what there is, tells more, or writes the end, which nothing stops."""

RUN = "run"
"""What the request of a run is sealed as: it may hold secrets that reach no other place."""
CLAIMS = 100
"""How often a run is gone on with. One that kills its server every time must not do so for ever."""

_INTERRUPTED = ApiError("The run was interrupted too often.")
_BROKEN = ApiError("The server had an error while processing your request.")


class WorkerDeps(NamedTuple):
    """What the runs of a process are carried with."""

    engine: Engine
    seal: Seal
    webhooks: Webhooks

    @property
    def runs(self) -> Runs:
        return self.engine.store.runs


class PreparedRun(NamedTuple):
    """A run that was accepted here just now: all that would have to be read again."""

    plan: Plan
    log: Sequence[bytes]


class RunWorker:
    """Carries a claimed run. `seconds`: how long it may take since it was first claimed."""

    def __init__(
        self, deps: WorkerDeps, claim: Claim, seconds: float, prepared: PreparedRun | None = None
    ) -> None:
        self._prepared = prepared
        self.claim = claim
        self.stage: Stage = "reading"
        self._cancelled = claim.cancelled
        self._left = False
        self._broken = False
        self._deps = deps
        self._runs = deps.runs
        self._seconds = claim.started_at + seconds - time.time()
        self._clock: asyncio.Timeout | None = None
        self._progress = msgspec.json.decode(claim.progress or b"{}", type=Checkpoint)
        self._run: Run | None = None

    def cancel(self, task: asyncio.Task[None]) -> None:
        """End the run that `task` carries as cancelled, unless it is about to end."""
        if not self._cancelled:
            self._cancelled = True
            self._interrupt(task)

    def release(self, task: asyncio.Task[None]) -> None:
        """Leave it to others as it is, unless it is about to end."""
        if not self._left:
            self._left = True
            self._interrupt(task)

    def _interrupt(self, task: asyncio.Task[None]) -> None:
        if self.stage == "writer":
            task.cancel()

    async def carry(self) -> Response | None:
        """To the end, which is given; None when the run is somebody else's now."""
        try:
            self._machine, fold = await self._resumed()
            if self._left:
                return None
            self._journal = Journal(self._runs, self.claim, self.claim.next)
            return await self._to_the_end(fold)
        except LostRun:
            log.info("run is carried elsewhere", response_id=self.claim.id)
            return None

    async def _resumed(self) -> Resumed:
        """What its log gives; that of hours is read apart, since it takes a while."""
        new_id = partial(new_item_id, owner=self.claim.id)
        if self._prepared is not None:
            return resume(map(msgspec.json.decode, self._prepared.log), new_id)
        told = await self._runs.log(self.claim)
        try:
            return await asyncio.to_thread(lambda: resume(map(msgspec.json.decode, told), new_id))
        except Exception:  # whatever is wrong with it, the run must end
            log.exception("log cannot be gone on with", response_id=self.claim.id)
            return await self._unreadable()

    async def _unreadable(self) -> Resumed:
        """A machine that can do nothing but end."""
        found = await self._deps.engine.store.response(self.claim.project, self.claim.id)
        if found is None:
            raise LostRun
        self._broken = True
        response = msgspec.json.decode(found.json, type=Response)
        machine = Machine.resumed(response, str, table.RUNNING, self.claim.next, ())
        return Resumed(machine, Fold())

    async def _to_the_end(self, fold: Fold) -> Response:
        try:
            if not self._cancelled and not self._machine.ended:
                self.stage = "writer"
                async with asyncio.timeout(self._seconds) as self._clock:
                    await self._tell(fold)
        except asyncio.CancelledError:
            if not self._cancelled:
                await self._hand_over()
                raise
        except TimeoutError:
            await self._fail(UpstreamTimeout("The response took longer than this server allows."))
        except LostRun:
            raise
        except ApiError as fault:
            await self._fail(fault)
        except Exception:
            log.exception("run failed", response_id=self.claim.id)
            await self._fail(_BROKEN)
        if self.stage != "ending":
            await self._cancel()
        return self._machine.snapshot()

    async def _tell(self, fold: Fold) -> None:
        """Raises ApiError when it cannot be gone on with."""
        if self._broken:
            raise _BROKEN
        if self.claim.claims > CLAIMS:
            raise _INTERRUPTED
        from_ = Resumption(self._machine, fold, self._progress)
        plan = self._prepared.plan if self._prepared else await self._planned(self._machine.snapshot())
        self._run = run = self._deps.engine.resumed(plan, from_, self._finish)
        await run.execute(partial(self._journal.write, run=run))

    async def _planned(self, response: Response) -> Plan:
        """The plan again, from what was kept of the request. Raises ApiError."""
        request = self._deps.seal.open(self.claim.project, RUN, self.claim.request.decode())
        if request is None:
            raise ApiError("The run was accepted with another sealing key, and cannot be gone on with.")
        accepted = msgspec.json.decode(request, type=RunRequest)
        stored = await self._runs.context(self.claim)
        return await self._deps.engine.planned_again(self.claim.project, accepted, stored, response)

    async def _cancel(self) -> None:
        """It ends as cancelled, unless it had just ended by itself."""
        if not self._machine.ended:
            self._machine.cancel(self._progress.usage)
        await self._end()

    async def _fail(self, fault: ApiError) -> None:
        if not self._machine.ended:
            self._machine.fail(failure(fault), self._progress.usage, fault.type)
        await self._end()

    async def _end(self) -> None:
        await self._finish(self._machine.snapshot())

    async def _finish(self, response: Response) -> None:
        self.stage = "ending"
        if self._clock is not None:
            with suppress(RuntimeError):  # it is over, or just runs out
                self._clock.reschedule(None)
        deliveries = self._deps.webhooks.deliveries_for(
            self.claim.project, response.id, response.status, time.time()
        )
        told = self._run.drain() if self._run else self._machine.drain()
        await self._journal.finish(response, told, deliveries)
        self._deps.webhooks.wake()

    async def _hand_over(self) -> None:
        """What was told is kept for who goes on."""
        if self._run is not None:
            with suppress(LostRun):
                await self._journal.write(self._run.drain(), self._run)
                await self._journal.flush(self._run)
