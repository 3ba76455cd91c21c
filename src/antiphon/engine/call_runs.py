"""The calls of one turn that we run: all at once, each emitted when its turn has come."""

import asyncio
import time
from typing import NamedTuple, Self

import structlog

from antiphon.engine import span_content, timeline
from antiphon.engine.emission import Flush
from antiphon.engine.spans import called, calling
from antiphon.model import TextPart
from antiphon.protocol.errors import ApiError
from antiphon.protocol.item import Item, item_type
from antiphon.stream.machine import Machine
from antiphon.stream.table import IllegalTransition
from antiphon.telemetry import metrics
from antiphon.telemetry.tracing import OFF, Span
from antiphon.tools.base import ServerCall, ToolResult
from antiphon.tools.emitter import Emitter, Turn

log = structlog.get_logger()

_FAILED = ToolResult((TextPart("Error: the tool failed. Go on without its answer, and say so."),))


class _Running(NamedTuple):
    turn: Turn
    task: asyncio.Task[tuple[ToolResult, float]]
    begun: float
    span: Span | None


class CallRuns:
    """Runs calls, as long as the block lasts. `flush` passes on what was emitted."""

    def __init__(self, machine: Machine, flush: Flush) -> None:
        self._machine = machine
        self._flush = flush
        self._runs: dict[ServerCall, _Running] = {}
        """Those that have not ended."""
        self._news = asyncio.Event()
        self._emitted: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for call, running in self._runs.items():
            running.task.cancel()
            self._count(call, running, "cancelled", time.perf_counter())

    def begin(self, call: ServerCall) -> None:
        turn = Turn(self._passed_on)
        emit, span = Emitter(turn, self._machine, lambda: call.item), calling(call)
        task = asyncio.create_task(_timed(call, emit, span))
        self._runs[call] = _Running(turn, task, time.perf_counter(), span)

    async def end(self, call: ServerCall) -> ToolResult:
        """What came of it, when all that it emits was passed on."""
        running = self._runs[call]
        task = running.task
        running.turn.come()
        while not task.done():
            news = asyncio.ensure_future(self._news.wait())
            try:
                await asyncio.wait({task, news}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()
            await self._pass_on()
        result, ended = task.result()
        del self._runs[call]
        if running.span is not None and running.span.content:
            running.span.set(span_content.called(call.arguments, result.parts))
        self._count(call, running, None, ended)
        return result

    def _count(
        self, call: ServerCall, running: _Running, outcome: metrics.Outcome | None, ended: float
    ) -> None:
        """`outcome` None: what its item says. A call that has not come to have one is not counted."""
        if call.item is not None:
            item = self._machine.item(call.item)
            kind, outcome = item_type(item), outcome or _outcome(item)
            metrics.count_call(kind, outcome, ended - running.begun)
            if running.span is not None:
                called(running.span, kind, outcome, time.perf_counter() - ended)
        if (times := timeline.current()) is not None:
            times.ran(call, running.begun, ended, outcome or "completed")

    async def _passed_on(self) -> None:
        """Until what was emitted by now was passed on."""
        emitted = asyncio.get_running_loop().create_future()
        self._emitted.append(emitted)
        self._news.set()
        await emitted

    async def _pass_on(self) -> None:
        self._news.clear()
        emitted, self._emitted = self._emitted, []
        await self._flush()
        for each in emitted:
            if not each.done():
                each.set_result(None)


async def _timed(call: ServerCall, emit: Emitter, span: Span | None) -> tuple[ToolResult, float]:
    """With the moment when it was there: it may wait for its turn after that."""
    with span or OFF:
        return await _run(call, emit), time.perf_counter()


def _outcome(item: Item) -> metrics.Outcome:
    """How a call went that is over, as its item says."""
    if getattr(item, "error", None) is not None or getattr(item, "status", None) == "failed":
        return "failed"
    return "incomplete" if getattr(item, "status", None) == "incomplete" else "completed"


async def _run(call: ServerCall, emit: Emitter) -> ToolResult:
    """A tool that breaks costs its own call, never the response."""
    try:
        return await call.run(emit)
    except (ApiError, IllegalTransition):
        raise
    except Exception:
        log.exception("tool failed", function=call.name)
        await emit.give_up("The tool failed")
        return _FAILED
