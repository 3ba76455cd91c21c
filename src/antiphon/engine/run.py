"""The life of one response: turns of the model, written as events, then kept.

Nobody else produces events: SSE, WebSocket, the plain JSON answer and the journal are readers of this one
log. The terminal event is emitted only when the response is durable, unless whoever makes it durable drains
it.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

import msgspec
import structlog
from msgspec.structs import replace

from antiphon.context.seal import Seal
from antiphon.context.transcript import REASONING
from antiphon.engine.calling.retry import with_retries
from antiphon.engine.compaction import compact
from antiphon.engine.emission import FIRST_BYTE_GRACE, Emission, Emit, Flush, discard
from antiphon.engine.prepare.preparation import Plan
from antiphon.engine.turn_writer import TurnWriter
from antiphon.model import Delta, Function, Turn, UsageDelta
from antiphon.protocol.errors import ApiError, RateLimited, UpstreamError, UpstreamTimeout
from antiphon.protocol.events import Event
from antiphon.protocol.hosted_items import McpCall
from antiphon.protocol.item import Item
from antiphon.protocol.items import Compaction, ToolSearchCall
from antiphon.protocol.response import (
    InputTokensDetails,
    OutputTokensDetails,
    Response,
    ResponseError,
    Usage,
)
from antiphon.protocol.wire import Wire, encode
from antiphon.store.base import ItemRow, ResponseRow, Store
from antiphon.stream.fold import BrokenLog, Fold
from antiphon.stream.items import OpenCompaction
from antiphon.stream.machine import IncompleteReason, Machine

log = structlog.get_logger()

REPAIRS = 3
"""How often in a row the model is asked again for a call that was not valid."""
TURNS = 100
"""How many turns of the model a response may take."""


Keep = Callable[[Response], Awaitable[None]]
"""Makes a finished response durable, before the last of its events are handed over."""


class Checkpoint(Wire):
    """How far a response is, beside what its log tells."""

    usage: Usage | None = None
    """Of the turns that ended."""
    ran: int = 0
    """How many calls were ours to run."""
    said: bool = False
    """Whether all that was to be told was told, but for the end."""


class Resumption(NamedTuple):
    """Where a response is gone on with."""

    machine: Machine
    fold: Fold
    progress: Checkpoint


class Run:
    """A planned response. `verify` folds its log while it grows, and raises BrokenLog at the first event
    that does not hold. `deadline`: seconds that it may take. `from_`: what another run left."""

    def __init__(
        self,
        plan: Plan,
        keep: Keep,
        seal: Seal,
        verify: bool = False,
        deadline: float | None = None,
        from_: Resumption | None = None,
    ) -> None:
        self.plan = plan
        self.machine = from_.machine if from_ else Machine(plan.response, plan.new_id)
        self.fault: ApiError | None = None
        """Why the response failed, if it did."""
        self.progress = from_.progress if from_ else Checkpoint()
        self._resumed = from_ is not None
        self._current: TurnWriter | None = None
        self._keep = keep
        self._seal = seal
        self._call_ids = {str(getattr(item, "call_id", "")) for item in (*plan.items, *plan.output_so_far)}
        self._fold = (from_.fold if from_ else Fold()) if verify else None
        self._deadline = asyncio.get_running_loop().time() + deadline if deadline is not None else None

    async def execute(self, emit: Emit, keep_alive: float | None = None) -> None:
        """Make the response, and hand its events to `emit` as they come, the last of them when the response
        is kept. A cancelled task stops the upstream's work. In a silence of `keep_alive` seconds
        `response.in_progress` is emitted again.

        Nothing is emitted before the upstream has accepted the turn, or has let some time pass: what it
        refuses at once is raised as the ApiError that it is, so that a client gets an HTTP status and can try
        again.
        """
        async with Emission(self.machine, self.drain, emit) as emission:
            if self._resumed:
                self.machine.start()
                await emission.flush()
            else:
                self.machine.create()
                self.machine.start()
                if self.plan.tells:
                    emission.watch(FIRST_BYTE_GRACE, keep_alive)
            try:
                await self._answer(emission.flush)
            except ApiError as fault:
                self._fail(fault)
                if not emission.opened:
                    raise
            if self.plan.request.store is not False and (self.plan.tells or not self.silent):
                await self._keep(self.machine.snapshot())
            await emission.flush()

    def checkpoint(self) -> Checkpoint:
        """How far it is, for who goes on with it. A call of the client's is the last thing to be told."""
        said = self.progress.said or (self._current is not None and self._current.awaits_client)
        return replace(self.progress, said=said)

    async def _answer(self, flush: Flush) -> None:
        """All that is emitted between the start and the end. Raises ApiError."""
        plan, turn = self.plan, self.plan.turn
        if self.progress.said:
            self._complete()
            return
        if plan.trigger is not None:
            await self._compact(plan.trigger, flush)
            turn = plan.read(self._compacted(plan.trigger))
        if not plan.generates or plan.only_compacts:
            self._complete()
            return
        turn = await self._with_tools(turn, flush)
        await self._loop(turn, flush)

    async def _with_tools(self, turn: Turn, flush: Flush) -> Turn:
        """The first turn, when all tools are known and the calls that were approved are made."""
        if self.plan.toolbox.waits:
            await self.plan.toolbox.connect(self.machine, flush)
            turn = self.plan.offer(turn)
        if self.plan.approved:
            writer = self._approved_calls()
            await self._run_calls(writer, flush)
            return replace(_next(turn, writer, self.plan.toolbox.functions), choice=turn.choice)
        return _freed(turn) if any(map(_was_chosen, self.plan.output_so_far)) else turn

    async def _loop(self, turn: Turn, flush: Flush) -> None:
        """Turns of the model, until one of them is the last. Raises ApiError."""
        faulty = 0
        for _ in range(TURNS):
            writer = self._writer()
            await self._turn(turn, writer, flush)
            if writer.finished in ("length", "content_filter"):
                self._cut_short("max_output_tokens" if writer.finished == "length" else "content_filter")
                return
            if writer.ends:
                self._complete()
                return
            faulty = faulty + 1 if writer.faults else 0
            if faulty > REPAIRS:
                raise UpstreamError(f"The model's call was not valid, {faulty} times: {writer.faults[-1]}")
            turn = _next(turn, writer, self.plan.toolbox.functions)
        self._cut_short("max_messages")

    async def _turn(self, turn: Turn, writer: TurnWriter, flush: Flush) -> None:
        """One turn: what the model says, then what becomes of its calls."""
        turn = await self.plan.caller.fit(turn)
        # Closed here and now when we are cancelled: that is what ends the upstream's work.
        async with aclosing(self._deltas(turn)) as deltas:
            async for batch in deltas:
                writer.write(batch)
                await flush()
        self.progress.usage = _sum(self.progress.usage, writer.usage)
        if writer.finished in ("stop", "calls"):
            await self._run_calls(writer, flush)

    async def _run_calls(self, writer: TurnWriter, flush: Flush) -> None:
        """What becomes of the calls of a turn."""
        self.progress.ran += writer.ran

        async def flush_calls() -> None:
            self.progress.said = writer.ends
            await flush()

        await writer.run_calls(flush_calls)

    async def _compact(self, count: int, flush: Flush) -> None:
        """Compact the first `count` items, as an item of the output."""
        item = Compaction(id=self.machine.new_id("compaction"), encrypted_content="")
        handle = self.machine.open(OpenCompaction, item)
        handle.compacting()
        await flush()
        turn = self.plan.read(self.plan.items[:count])
        compacted = await compact(self.plan.backend, turn, self._seal, self.plan.project)
        handle.encrypted_content = compacted.encrypted_content
        handle.close()
        self.progress.usage = _sum(self.progress.usage, compacted.usage)
        await flush()

    def _compacted(self, count: int) -> Sequence[Item]:
        """The items that the model reads when the first `count` are compacted."""
        before, after = self.plan.items[:count], self.plan.items[count:]
        return (*before, *self.machine.snapshot().output, *after)

    async def result(self) -> Response:
        """The response when it has ended: the log, folded. Raises the ApiError that ended it when the
        model had not said anything yet."""
        await self.execute(discard)
        if self.silent and self.fault is not None:
            raise self.fault
        return self.machine.snapshot()

    @property
    def silent(self) -> bool:
        """Whether it failed before the model said anything."""
        return self.fault is not None and not self.machine.snapshot().output

    def _writer(self) -> TurnWriter:
        plan = self.plan
        sealed = "reasoning.encrypted_content" in (plan.request.include or ())
        self._current = TurnWriter(
            self.machine,
            plan.toolbox,
            seal=partial(self._seal.seal, plan.project, REASONING) if sealed else None,
            summary=plan.response.reasoning.summary,
            taken=self._call_ids,
            allowed=self._allowed(),
            ahead=bool(plan.request.background),
        )
        return self._current

    def _allowed(self) -> int | None:
        """How many calls we may still run."""
        most = self.plan.request.max_tool_calls
        return None if most is None else max(0, most - self.progress.ran)

    def _approved_calls(self) -> TurnWriter:
        """The calls that may be made now."""
        writer = self._writer()
        for name, tool, request in self.plan.approved:
            writer.resume(tool, name, request.id or "", request.arguments)
        return writer

    def _deltas(self, turn: Turn) -> AsyncGenerator[Sequence[Delta], None]:
        ask = partial(self.plan.caller.stream, turn)
        deltas = with_retries(ask) if self.plan.request.background else ask()
        return deltas if self._deadline is None else _within(deltas, self._deadline)

    def _complete(self) -> None:
        self.machine.complete(self.progress.usage, int(time.time()))

    def _cut_short(self, reason: IncompleteReason) -> None:
        self.machine.incomplete(reason, self.progress.usage)

    def _fail(self, fault: ApiError) -> None:
        self.fault = fault
        log.warning("response failed", response_id=self.machine.id, reason=fault.message)
        self.machine.fail(failure(fault), self.progress.usage, fault.type)

    def drain(self) -> Sequence[Event]:
        """The events since the last time."""
        told = self.machine.drain()
        if self._fold is not None:
            self._check(self._fold, told)
        return told

    def _check(self, fold: Fold, told: Sequence[Event]) -> None:
        for event in told:
            fold.add(msgspec.json.decode(encode(event)))
        if self.machine.ended and encode(fold.result()) != encode(self.machine.snapshot()):
            raise BrokenLog("The log does not fold to the response.")


async def _within(
    deltas: AsyncGenerator[Sequence[Delta], None], end: float
) -> AsyncGenerator[Sequence[Delta], None]:
    """The deltas, if they come before `end`, in the loop's time. Raises UpstreamTimeout."""
    async with aclosing(deltas):
        while True:
            try:
                async with asyncio.timeout_at(end):
                    batch = await anext(deltas)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise UpstreamTimeout("The response took longer than this server allows.") from None
            yield batch


def _next(turn: Turn, writer: TurnWriter, functions: tuple[Function, ...]) -> Turn:
    """The turn that follows: the model reads what it said, and what became of its calls. A call that was
    forced has been made then, unless it has to be made again."""
    messages = (*turn.messages, writer.spoken(), *writer.answers)
    after = replace(turn, messages=messages, functions=functions)
    return after if writer.faults else _freed(after)


def _was_chosen(said: Item) -> bool:
    """Whether it is a call of ours that the model made in this response: if it had to, it has."""
    asked = isinstance(said, McpCall) and said.approval_request_id is None
    return asked or isinstance(said, ToolSearchCall)


def _freed(turn: Turn) -> Turn:
    """A turn in which nothing must be called any more."""
    return turn if turn.choice == "none" else replace(turn, choice="auto")


def failure(fault: ApiError) -> ResponseError:
    """A fault, as a response tells it."""
    code = "rate_limit_exceeded" if isinstance(fault, RateLimited) else "server_error"
    if fault.code == "context_length_exceeded":
        code = fault.code
    return ResponseError(code=code, message=fault.message)


async def save(store: Store, plan: Plan, response: Response) -> None:
    """Keep the response of a plan; durable when this returns."""
    request = plan.request
    row = ResponseRow(
        id=response.id,
        created_at=response.created_at,
        json=without_output(response),
        input=rows(plan.items if plan.history_unsaved else plan.input),
        output=rows(response.output),
        previous_response_id=None if plan.history_unsaved else request.previous_response_id,
        conversation_id=None if response.status == "failed" else request.conversation_id,
    )
    await store.save_response(plan.project, row)


def without_output(response: Response) -> bytes:
    """A response as it is stored, apart from its items."""
    return encode(replace(response, output=[]))


def rows(items: Sequence[Item]) -> Sequence[ItemRow]:
    return [ItemRow(item.id or "", encode(item)) for item in items]


def usage_of(told: UsageDelta | None) -> Usage | None:
    """What a turn cost, as the API shows it."""
    if told is None:
        return None
    return Usage(
        input_tokens=told.input_tokens,
        input_tokens_details=InputTokensDetails(cached_tokens=told.cached_tokens),
        output_tokens=told.output_tokens,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=told.reasoning_tokens),
        total_tokens=told.input_tokens + told.output_tokens,
    )


def _sum(before: Usage | None, told: UsageDelta | None) -> Usage | None:
    """Usage is that of all turns together."""
    turn = usage_of(told)
    return before.plus(turn) if before is not None and turn is not None else turn or before
