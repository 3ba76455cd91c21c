"""The life of one response: turns of the model, written as events, then kept.

Nobody else produces events: SSE, WebSocket, the plain JSON answer and the journal are readers of this one
log. The terminal event is emitted only when the response is durable, unless whoever makes it durable drains
it.
"""

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import nullcontext
from functools import partial

import structlog
from msgspec.structs import replace

from antiphon.backends.tape import next_turn
from antiphon.backends.upstream_errors import REFUSED
from antiphon.context.agents import ROOT
from antiphon.context.seal import Seal
from antiphon.context.thought import seal
from antiphon.engine.agent import Takes
from antiphon.engine.agents import Crew, speaking
from antiphon.engine.calling.ask import Ask
from antiphon.engine.checkpoint import Checkpoint
from antiphon.engine.compaction import compact
from antiphon.engine.emission import FIRST_BYTE_GRACE, AtOnce, Emission, Emit, Flush, FlushAtOnce
from antiphon.engine.event_log import EventLog
from antiphon.engine.intake import Intake
from antiphon.engine.last_words import close_with_message
from antiphon.engine.moderating.moderation import Moderation
from antiphon.engine.prepare.fingerprints import Fingerprints
from antiphon.engine.prepare.plan import Plan
from antiphon.engine.programs import Programs, Rounds
from antiphon.engine.reasoning_writer import ReasoningWriter, Seals
from antiphon.engine.recorder import Ended, Recorder
from antiphon.engine.span_content import exchanged
from antiphon.engine.spans import answered, asking, planned
from antiphon.engine.steering import Steering
from antiphon.engine.turn_writer import Phase, TurnWriter
from antiphon.engine.turns import REPAIRS, TURNS, following, freed, offered
from antiphon.engine.unread import Unread
from antiphon.engine.usage import with_turn
from antiphon.guard.offload import offload
from antiphon.model import Turn, UsageDelta
from antiphon.protocol.errors import ApiError, ModelFault, RateLimited, SearchTimeout
from antiphon.protocol.item import Item
from antiphon.protocol.items import Compaction
from antiphon.protocol.projection import Projection
from antiphon.protocol.response import Response, ResponseError, Usage
from antiphon.stream.items import OpenCompaction
from antiphon.stream.kinds import kind_of
from antiphon.stream.machine import IncompleteReason
from antiphon.tools.agents import Agents
from antiphon.tools.provider import ApprovedCall

log = structlog.get_logger()

_FAILURES = {RateLimited: "rate_limit_exceeded", SearchTimeout: "vector_store_timeout"}
"""The codes of failed responses."""
_TOLD = frozenset({"context_length_exceeded", *REFUSED.values()})
"""Codes of faults that are also those of failed responses."""

Keep = Callable[[Response], Awaitable[None]]
"""Makes a finished response durable, before the last of its events are handed over."""


class Run:
    """A planned response, whose events go to `events`. `checkpoint`: how far it is. It is kept up to date:
    whenever events are handed over, it says what they do not."""

    def __init__(
        self,
        plan: Plan,
        events: EventLog,
        keep: Keep,
        seal: Seal,
        checkpoint: Checkpoint,
        recorder: Recorder | None = None,
        steering: Steering | None = None,
    ) -> None:
        self.plan = plan
        self.machine = events.machine
        self.fault: ApiError | None = None
        """Why the response failed, if it did."""
        self._kept = False
        """Whether it is kept, and its activity with it."""
        self._events = events
        self._checkpoint = checkpoint
        self._keep = keep
        self._seal = seal
        self._recorder = recorder
        self.shows = plan.shows
        """How its output is shown: what it holds beside what was asked for is hidden."""
        self.machine.image_usage = checkpoint.images
        self.machine.tier = plan.caller.tier
        self._hide: Callable[[Projection], None] | None = None
        self._call_ids = set(plan.context.call_ids)
        self._ask: Ask = plan.caller.stream
        if plan.moderation is not None:
            self._ask = plan.moderation.guarded(self._ask, self.machine.snapshot)
        self.crew: Crew | None = None
        """Its agents, while several are at work."""
        self._steering = steering
        if steering is not None:
            self._ask = steering.steerable(self._ask)

    def execute(
        self,
        emit: Emit,
        keep_alive: float | None = None,
        shows: Projection | None = None,
        at_once: AtOnce | None = None,
    ) -> Awaitable[None]:
        """Make the response, and hand its events to `emit` as they come, the last of them when the response
        is kept. A cancelled task stops the upstream's work. In a silence of `keep_alive` seconds
        `response.in_progress` is emitted again. `shows` is given (as `shows` of this run) for who may see no
        more than was asked for, `at_once` by who takes most events without being waited for.

        Nothing is emitted before the upstream has accepted the turn, or has let some time pass: what it
        refuses at once is raised as the ApiError that it is, so that a client gets an HTTP status and can try
        again.
        """
        return self._made(Emission(self._events, emit, shows, at_once), keep_alive)

    def _made(self, emission: Emission, keep_alive: float | None = None) -> Awaitable[None]:
        if self._recorder is None or not self._recorder.records(self.plan.project):
            return self._execute(emission, keep_alive)
        return self._recorded(self._recorder, emission, keep_alive)

    async def _recorded(self, recorder: Recorder, emission: Emission, keep_alive: float | None) -> None:
        begun = recorder.begin(self.machine, keeps=self.plan.request.store is not False)
        try:
            await self._execute(emission, keep_alive)
        finally:
            recorder.end(begun, self._ended())

    async def _execute(self, emission: Emission, keep_alive: float | None) -> None:
        plan, steering = self.plan, self._steering
        stored = plan.request.store is not False
        planned(plan.project, self.machine.id, plan.caller, stored=stored)
        async with emission:
            self._hide = emission.hide
            if steering is not None:
                steering.attach(self.machine, emission)
            if self.machine.created:
                self.machine.start()
                await emission.flush()
            else:
                self._begin(emission, keep_alive)
            try:
                with speaking(ROOT) if plan.toolbox.agents is not None else nullcontext():
                    await self._say(emission)
            except ApiError as fault:
                self._fail(fault)
                if not emission.opened and not isinstance(fault, ModelFault):
                    raise
            if steering is not None:
                steering.settle(plan, self.machine.snapshot())
            if stored and (plan.followed or not self.silent):
                self._kept = True
                await self._keep(self.machine.snapshot())
            await emission.flush()

    async def _say(self, emission: Emission) -> None:
        """All between the start and the last event. Raises ApiError."""
        if self.plan.moderation is not None:
            await self._moderated(self.plan.moderation, emission)
            return
        cut = await self._answer(emission)
        self._close(cut)
        self._end(cut)

    def _ended(self) -> Ended:
        """For what is recorded of it."""
        return Ended(
            project=self.plan.project,
            response_id=self.machine.id,
            stored=self._kept or bool(self.plan.request.background),  # which is from its beginning on
            failed=self.fault is not None,
            shown=self.plan.moderation is None or self.plan.moderation.passed,
        )

    async def result(self) -> Response:
        """The response when it has ended: the log, folded. Raises the ApiError that ended it before the
        model had answered."""
        await self._made(Unread(self._events))
        if self.silent and self.fault is not None:
            raise self.fault
        return self.machine.snapshot()

    @property
    def silent(self) -> bool:
        """Whether it failed before the model answered."""
        if self.fault is None or isinstance(self.fault, ModelFault):
            return False
        return not self.machine.snapshot().output

    # ---- from the first event to the last ----

    def _begin(self, emission: Emission, keep_alive: float | None) -> None:
        self.machine.create()
        self.machine.start()
        if self.plan.followed:
            emission.watch(FIRST_BYTE_GRACE, keep_alive)

    async def _moderated(self, moderation: Moderation, emission: Emission) -> None:
        """All up to the end, with the input judged beside it. What is found of input and output is shown with
        the end."""
        async with moderation.beside():
            cut = await self._answer(emission)
            self._close(cut)
            if cut is None:
                await emission.flush_opened()
            self.machine.moderated(await moderation.result(self.machine.snapshot()))
            self._end(cut)

    async def _answer(self, emission: Emission) -> IncompleteReason | None:
        """All that is emitted between the start and the end. Gives why it is cut short, if it is. Raises
        ApiError."""
        plan, turn, generates = self.plan, self.plan.turn, self.plan.generates
        said_all = self._checkpoint.output_complete
        if said_all and not plan.programs:
            return None
        if plan.compacts is not None:
            items = plan.context.items[: plan.compacts]
            await self._compact(await offload(plan.compacts, plan.turns.build, items), emission.flush)
            items = self._compacted(plan.compacts)
            turn = await offload(len(items), plan.turns.build, items)
        if not (generates or plan.prewarms) or plan.context.only_compacts:
            return None
        if plan.toolbox.agents is not None and generates:
            return await self._have_agents_work(plan.toolbox.agents, turn, emission)
        first = await self._with_tools(turn, emission) if self._has_prelude else turn
        if first is None or said_all:
            return None
        return await (self._loop(first, emission) if generates else self._prewarm(first))

    async def _prewarm(self, turn: Turn) -> None:
        """Have the model's server read the context. What the model says is thrown away."""
        next_turn()
        with asking(turn) as span:
            cost = await self.plan.caller.warm(await self.plan.caller.fit(turn))
            if span is not None:
                answered(span, self.plan.caller, "length", cost, None)
        self._checkpoint.usage = with_turn(self._checkpoint.usage, cost)

    async def _compact(self, turn: Turn, flush: Flush) -> None:
        """Compact what a turn reads, as an item of the output."""
        item = Compaction(id=self.machine.new_id("compaction"), encrypted_content="")
        handle = self.machine.open(OpenCompaction, item)
        handle.compacting()
        await flush()
        compacted = await compact(self.plan.caller, turn, self._seal, self.plan.project)
        handle.encrypted_content = compacted.encrypted_content
        handle.close()
        self._count(compacted.usage)
        await flush()

    def _compacted(self, count: int) -> Sequence[Item]:
        """The items that the model reads when the first `count` are compacted."""
        items = self.plan.context.items
        return (*items[:count], *self.machine.snapshot().output, *items[count:])

    @property
    def _has_prelude(self) -> bool:
        """Whether anything comes before the first turn, or came before it in this response."""
        plan = self.plan
        return bool(plan.approved or plan.programs or plan.context.output_so_far or plan.toolbox.waits)

    async def _with_tools(self, turn: Turn, emission: Emission) -> Turn | None:
        """The first turn, when all tools are known, the calls that were approved are made and the programs
        that waited have ended; None: one waits for the client again. Raises ApiError when the tools cannot be
        known, as long as the request can still be refused."""
        plan, flush = self.plan, emission.flush
        if plan.toolbox.waits:
            await plan.toolbox.connect(self.machine, emission.flush_opened)
            if not emission.opened:
                plan.toolbox.refuse_unlisted()
            turn = plan.turns.with_listed_tools(turn)
        approved = [call for call in plan.approved if self.crew is None or call.agent in (None, ROOT)]
        if approved:
            turn = await self._approved(turn, approved, flush)
        if plan.programs and plan.compacts is None:
            return await self._after_programs(turn, flush)
        if approved:
            return turn
        # What had to be called has been, if the model has called anything in this response.
        called = any(kind_of(item).was_chosen(item) for item in plan.context.output_so_far)
        return freed(turn) if called else turn

    async def _approved(self, turn: Turn, calls: Sequence[ApprovedCall], flush: Flush) -> Turn:
        """Make calls that were approved: the turn in which the model reads what came of them."""
        writer = self._writer()
        for call in calls:
            writer.resume(self.plan.toolbox.approved(call))
        await self._run_calls(writer, flush)
        return replace(following(turn, writer, self.plan.toolbox.functions), choice=turn.choice)

    async def _after_programs(self, turn: Turn, flush: Flush) -> Turn | None:
        """The turn in which the model reads what came of the programs that had waited; None: one waits for
        the client again."""
        plan = self.plan
        for program in plan.programs:
            if await self._programs(flush).go_on(program) is None:
                self._checkpoint.usage = self._checkpoint.usage or Usage.none()
                return None
            await flush()
        items = (*plan.context.items, *self.machine.snapshot().output)
        read = await offload(len(items), plan.turns.build, items)
        messages = (*read.messages, *plan.toolbox.notes())
        return freed(replace(turn, messages=messages, functions=plan.toolbox.functions))

    def _programs(self, flush: Flush) -> Programs:
        rounds = Rounds(self._writer, partial(self._run_calls, flush=flush), self._allowed)
        return Programs(self.plan, self.machine, Fingerprints(self._seal, self.plan.project), rounds)

    async def _loop(self, turn: Turn, emission: Emission) -> IncompleteReason | None:
        """Turns of the model, until one of them is the last. Gives why it is, if there is more to say. Raises
        ApiError."""
        faulty, in_vain, at_once = 0, 0, emission.flush_at_once if emission.pours else None
        for _ in range(TURNS):
            writer = self._writer(offered(turn))
            await self._turn(turn, writer, emission.flush, at_once)
            cut = writer.cut or self._steered(writer)
            if cut is not None or writer.ends:
                return cut
            faulty = faulty + 1 if writer.faults else 0
            if faulty > REPAIRS:
                raise ModelFault(f"The model's call was not valid, {faulty} times: {writer.faults[-1]}")
            if in_vain == REPAIRS:
                break
            in_vain += self._allowed() == 0 and writer.called_in_vain
            turn = following(turn, writer, self.plan.toolbox.functions)
            if in_vain == REPAIRS:  # it was told that no more calls are made, again and again
                turn = replace(turn, choice="none")
        return "max_messages"

    async def _have_agents_work(
        self, tool: Agents, turn: Turn, emission: Emission
    ) -> IncompleteReason | None:
        """Turns of several agents. Gives why the first of them is cut short, if it is. Raises ApiError."""
        takes = Takes(self._take_turn, self._approved, self._compact)
        crew = tool.crew = self.crew = Crew(self.plan, self.machine, self._seal, takes, emission)
        first = await self._with_tools(turn, emission)
        return await crew.run(first) if first is not None else None

    async def _take_turn(self, turn: Turn, flush: Flush, phase: Phase) -> TurnWriter:
        """One turn of one of several agents."""
        writer = self._writer(offered(turn), phase)
        await self._turn(turn, writer, flush)
        await flush()
        return writer

    def _steered(self, writer: TurnWriter) -> IncompleteReason | None:
        """Whether a turn is the last because the response makes room for its successor."""
        if self._steering is None or not self._steering.asked:
            return None
        return None if writer.finished is not None and writer.ends else "steered"

    # ---- one turn ----

    def _writer(self, offered: Collection[str] = (), phase: Phase = lambda: None) -> TurnWriter:
        request = self.plan.request
        return TurnWriter(
            self.machine,
            self.plan.toolbox,
            offered,
            reasoning=self._reasoning,
            allowed=self._allowed(),
            taken=self._call_ids,
            most=1 if request.parallel_tool_calls is False else None,
            ahead=bool(request.background),
            phase=phase,
            source=self.plan.caller.source,
        )

    def _reasoning(self) -> ReasoningWriter:
        plan = self.plan
        asked = "reasoning.encrypted_content" in (plan.request.include or ())
        seals = Seals(partial(seal, self._seal, plan.project), self._unasked, asked, plan.caller.source)
        return ReasoningWriter(self.machine, seals, plan.response.reasoning.summary)

    def _unasked(self) -> None:
        """Reasoning is sealed that nobody asked for: it is stored, and not shown."""
        self.shows = self.plan.shows_of_model
        if self._hide is not None:
            self._hide(self.shows)

    def _allowed(self) -> int | None:
        """How many calls we may still run."""
        most = self.plan.request.max_tool_calls
        return None if most is None else max(0, most - self._checkpoint.ran)

    async def _turn(
        self, turn: Turn, writer: TurnWriter, flush: Flush, at_once: FlushAtOnce | None = None
    ) -> None:
        """What the model says, then what becomes of its calls."""
        next_turn()
        with asking(turn) as span:
            try:
                turn = await self.plan.caller.fit(turn)
                if (allowed := self._allowed()) is not None:
                    turn = replace(turn, most_calls=allowed)
                await Intake(writer, self._checkpoint, flush, at_once).read(self._ask(turn))
            finally:
                self._count(writer.usage)
                self._checkpoint.ran += writer.ran_upstream
                if span is not None:
                    answered(span, self.plan.caller, writer.finished, writer.usage, writer.first_at)
                    if span.content:
                        span.set(exchanged(turn, writer.spoken(), writer.finished))
        if writer.breaks_off:
            writer.finished = "length"
        if writer.finished not in ("stop", "calls"):
            return
        if writer.calls:
            await self._run_calls(writer, flush)
        else:  # what is closed is handed over with the end
            writer.conclude()
            self._said(all_of_it=True)

    def _said(self, *, all_of_it: bool) -> None:
        """What was emitted is about to be handed over: `all_of_it`, or the model will be asked again."""
        self._checkpoint.output_complete = all_of_it
        self._checkpoint.images = self.machine.image_usage

    def _count(self, usage: UsageDelta | None) -> None:
        """What a turn took, and the service tier that its server says it was served in."""
        self._checkpoint.usage = with_turn(self._checkpoint.usage, usage)
        self.machine.tier = (usage and usage.tier) or self.machine.tier

    async def _run_calls(self, writer: TurnWriter, flush: Flush) -> None:
        """What becomes of the calls of a turn."""
        self._checkpoint.ran += writer.ran

        async def flush_calls() -> None:
            self._said(all_of_it=writer.ends)
            await flush()

        await writer.run_calls(flush_calls)
        if writer.program is not None:
            answer = await self._programs(flush).go_on(writer.program)
            writer.suspended = answer is None
            writer.answers.extend([] if answer is None else [answer])
            await flush()

    # ---- the end ----

    def _close(self, cut: IncompleteReason | None) -> None:
        """Nothing more is said. `cut`: why it ends early, if it does."""
        if cut is None:
            close_with_message(self.machine)
        else:
            self.machine.abandon()

    def _end(self, cut: IncompleteReason | None) -> None:
        usage = self._checkpoint.usage
        if cut is None:
            self.machine.complete(usage, int(time.time()))
        else:
            self.machine.incomplete(cut, usage)

    def _fail(self, fault: ApiError) -> None:
        self.fault = fault
        log.warning("response failed", response_id=self.machine.id, reason=fault.message)
        self.machine.fail(failure(fault), self._checkpoint.usage, fault.type)


def failure(fault: ApiError) -> ResponseError:
    """A fault, as a response shows it."""
    code = next((code for kind, code in _FAILURES.items() if isinstance(fault, kind)), "server_error")
    if fault.code in _TOLD:
        code = fault.code
    return ResponseError(code=code, message=fault.message)
