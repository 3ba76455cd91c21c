"""The engine: takes requests, gives runs. One for each server process."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager

from msgspec.structs import replace

from antiphon.backends.router import Router
from antiphon.context.attachments import Attachments
from antiphon.context.seal import Seal
from antiphon.engine.activity import activity_of
from antiphon.engine.checkpoint import Checkpoint
from antiphon.engine.compaction import compact, kept
from antiphon.engine.conversation_lock import locked
from antiphon.engine.event_log import EventLog
from antiphon.engine.histories import Histories
from antiphon.engine.making import Making
from antiphon.engine.memory import Memory
from antiphon.engine.moderating.moderator import Moderator
from antiphon.engine.prepare.plan import Plan
from antiphon.engine.prepare.preparation import Preparation
from antiphon.engine.prepare.run_request import opened, sealed
from antiphon.engine.recorder import Recorder
from antiphon.engine.run import Keep, Run
from antiphon.engine.saving import save
from antiphon.engine.spans import responding, resuming
from antiphon.engine.steering import Steering
from antiphon.engine.usage import usage_of
from antiphon.engine.warnings import Warnings
from antiphon.guard.offload import offload
from antiphon.protocol.compacted import CompactedResponse
from antiphon.protocol.error_messages import missing
from antiphon.protocol.errors import ApiError
from antiphon.protocol.items import Compaction
from antiphon.protocol.parse import Parsed
from antiphon.protocol.request import CreateResponse
from antiphon.protocol.response import Response, Usage
from antiphon.store.activity import ActivityRow
from antiphon.store.keys import KeyUse
from antiphon.store.responses import ResponseRow
from antiphon.store.runs import Context as Stored
from antiphon.store.store import Store
from antiphon.stream.fold import Fold
from antiphon.stream.machine import Machine
from antiphon.telemetry.tracing import CURRENT, OFF, Span, Tracer
from antiphon.tools.context import ToolResources
from antiphon.tools.toolbox import Toolbox


class Engine:
    def __init__(
        self,
        router: Router,
        store: Store,
        seal: Seal,
        attachments: Attachments,
        verify: bool = False,
        deadline: float | None = None,
        resources: ToolResources | None = None,
        moderator: Moderator | None = None,
        ended: Callable[[ActivityRow, KeyUse | None], None] = lambda row, use: None,
        recorder: Recorder | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """`deadline`: seconds that a response may take; None: as long as it needs. `ended` is called with
        what became of each response that ended here, and what it counts to. `recorder` keeps what is sent to
        upstreams, `tracer` traces what is done in the background."""
        self.router = router
        self.store = store
        self.warnings = Warnings()
        self._histories = Histories()
        self._preparation = Preparation(
            router, store, seal, attachments, self._histories, resources, deadline, moderator
        )
        self._seal = seal
        self._recorder = recorder
        self._verify = verify
        self._tracer = tracer
        self.ended = ended
        self.making = Making()

    def run(
        self,
        project: str,
        parsed: Parsed,
        memory: Memory | None = None,
        use: KeyUse | None = None,
        steering: Steering | None = None,
    ) -> AbstractAsyncContextManager[Run]:
        """A run of the request, which counts to `use` and can be steered by `steering`. Its conversation, if
        it has one, is its own until the block is left.

        Raises InvalidRequest or NotFound when the request cannot be met.
        """
        run = _Awaited(self, project, parsed, memory, use, steering)
        if parsed.request.conversation is None and CURRENT.get() is None:
            return run
        return _within(responding(), locked(self.store, project, parsed.request.conversation_id), run)

    @asynccontextmanager
    async def planned(self, project: str, parsed: Parsed, use: KeyUse | None = None) -> AsyncIterator[Plan]:
        """The plan of a request, as for `run`."""
        async with locked(self.store, project, parsed.request.conversation_id):
            plan, span = await self.plan(project, parsed, use=use), CURRENT.get()
            yield plan if span is None else replace(plan, span=span.begin_kept())

    async def plan(
        self, project: str, parsed: Parsed, memory: Memory | None = None, use: KeyUse | None = None
    ) -> Plan:
        """The plan of a request. Raises also TooMuchStored, before anything is begun, when the project may
        not keep what the request brings."""
        if parsed.request.store is not False:
            await self.store.usage.check(project, parsed.length)
        plan = await (await self._preparation.plan(project, parsed, memory)).fitted()
        return plan if use is None else replace(plan, use=use)

    async def remember(self, plan: Plan, response: Response, kept: ResponseRow) -> None:
        """The history that ends with a response, for the next one of its chain. What begins a chain is read
        from the store as fast."""
        past, continues = plan.context.past, plan.request.previous_response_id is not None
        if past.items and continues and response.status == "completed":
            more = (*plan.context.input, *response.output)
            length = sum(len(item.json) for item in (*kept.input, *kept.output))
            history = await offload(plan.context.unread, past.followed_by, more, length)
            self._histories.keep(plan.project, response.id, history)

    def kept_request(self, plan: Plan, request: CreateResponse) -> bytes:
        """What is kept of a request for `planned_again`, sealed."""
        return sealed(self._seal, plan, request)

    def counted_to(self, project: str, kept: bytes) -> KeyUse | None:
        """What a request counts to that was kept for `planned_again`. Raises ApiError when it cannot be
        read."""
        return opened(self._seal, project, kept).use

    def background_span(
        self, project: str, kept: bytes, plan: Plan | None
    ) -> AbstractContextManager[Span | None]:
        """The span of a response that was accepted with `plan`, here or, where that is None, elsewhere."""
        if self._tracer is None:
            return OFF
        try:
            return resuming(self._tracer, plan.span if plan else opened(self._seal, project, kept).span)
        except ApiError:  # why it cannot be read is the end of its run
            return resuming(self._tracer, None)

    async def planned_again(self, project: str, kept: bytes, stored: Stored, response: Response) -> Plan:
        """The plan of a response that goes on with its output so far. Raises ApiError when it cannot."""
        return await self._preparation.resume(project, kept, stored, response)

    def begun(
        self,
        plan: Plan,
        events: EventLog,
        checkpoint: Checkpoint,
        keep: Keep,
        steering: Steering | None = None,
    ) -> Run:
        """A run of a plan, or one that goes on where another stopped."""
        return Run(plan, events, keep, self._seal, checkpoint, self._recorder, steering)

    def log(self, machine: Machine, fold: Fold | None = None) -> EventLog:
        """The log that the machine writes, of which `fold` has read what there is; None: there is nothing. It
        is checked as it grows if this server verifies its answers."""
        return EventLog(machine, (fold or Fold()) if self._verify else None)

    async def count(self, project: str, parsed: Parsed) -> int:
        """The tokens of the context that the request would give to the model. Raises ApiError."""
        request = parsed.request
        model = request.model or self.router.default_model
        if model is None:
            raise missing("model")
        named = Parsed(replace(request, model=model), parsed.items, parsed.length)
        plan = await self._preparation.plan(project, named, tools_begin=Toolbox.ready)
        fits = plan.response.truncation == "auto"
        return await plan.caller.count(await plan.caller.fit(plan.turn) if fits else plan.turn)

    async def compact(self, project: str, parsed: Parsed) -> CompactedResponse:
        """The request's context, compacted; nothing is stored. Raises ApiError."""
        plan = await self._preparation.plan(project, parsed, tools_begin=Toolbox.ready)
        turn = await offload(plan.context.size, plan.turns.build, plan.context.items)
        made = await compact(plan.caller, turn, self._seal, project)
        item = Compaction(id=plan.new_id("compaction"), encrypted_content=made.encrypted_content)
        return CompactedResponse(
            id=plan.response.id,
            created_at=plan.response.created_at,
            output=[*kept(plan.context.items), item],
            usage=usage_of(made.usage) or Usage.none(),
        )


class _Awaited:
    """A run that a client waits for. What became of it is kept, or noted when the block is left.

    It does not hold the run, which holds it: that would be a cycle, with the whole history in it.
    """

    def __init__(
        self,
        engine: Engine,
        project: str,
        parsed: Parsed,
        memory: Memory | None,
        use: KeyUse | None,
        steering: Steering | None,
    ) -> None:
        self._engine = engine
        self._asked = (project, parsed, memory, use)
        self._steering = steering
        self._started_at = time.time()
        self._checkpoint = Checkpoint()
        self._kept = False

    async def __aenter__(self) -> Run:
        engine = self._engine
        plan = self._plan = await engine.plan(*self._asked)
        events = self._events = engine.log(Machine(plan.response, plan.new_id))
        run = engine.begun(plan, events, self._checkpoint, self._keep, self._steering)
        engine.making.begin(plan, events)
        return run

    async def __aexit__(self, *_: object) -> None:
        self._engine.making.end(self._plan, self._events)
        if not self._kept:
            row = self._row(self._events.machine.snapshot(), stored=False)
            self._engine.store.activity.note(row)
            self._engine.ended(row, self._plan.use)

    async def _keep(self, response: Response) -> None:
        self._kept = True
        row = self._row(response, stored=True)
        kept = await save(self._engine.store, self._plan, response, row, self._steering)
        self._engine.ended(row, self._plan.use)
        await self._engine.remember(self._plan, response, kept)

    def _row(self, response: Response, *, stored: bool) -> ActivityRow:
        return activity_of(
            self._plan.project,
            response,
            started_at=self._started_at,
            first_at=self._checkpoint.first_at,
            backend=self._plan.caller.backend_name,
            use=self._plan.use,
            stored=stored,
        )


@asynccontextmanager
async def _within(
    span: AbstractAsyncContextManager[object],
    conversation: AbstractAsyncContextManager[None],
    run: AbstractAsyncContextManager[Run],
) -> AsyncIterator[Run]:
    async with span, conversation, run as begun:
        yield begun
