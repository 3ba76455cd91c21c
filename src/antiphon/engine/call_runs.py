"""The calls of one turn that we run: all at once, each emitted when its turn has come."""

import asyncio
import time
from types import TracebackType
from typing import NamedTuple, Self

import structlog

from antiphon.engine import timeline
from antiphon.engine.emission import Flush
from antiphon.model import TextPart
from antiphon.protocol.errors import ApiError
from antiphon.protocol.item import Item, item_type
from antiphon.stream.machine import Machine
from antiphon.stream.table import IllegalTransition
from antiphon.telemetry import metrics
from antiphon.tools.base import ServerCall, ToolResult
from antiphon.tools.emitter import Emitter, Turn

log = structlog.get_logger()

_FAILED = ToolResult((TextPart("Error: the tool failed. Go on without its answer, and say so."),))


class _Running(NamedTuple):
    turn: Turn
    task: asyncio.Task[tuple[ToolResult, float]]
    begun: float


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

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        for call, running in self._runs.items():
            running.task.cancel()
            self._count(call, "cancelled", running.begun, time.perf_counter())

    def begin(self, call: ServerCall) -> None:
        turn = Turn(self._passed_on)
        emit = Emitter(turn, self._machine, lambda: call.item)
        self._runs[call] = _Running(turn, asyncio.create_task(_timed(call, emit)), time.perf_counter())

    async def end(self, call: ServerCall) -> ToolResult:
        """What came of it, when all that it emits was passed on."""
        turn, task, begun = self._runs[call]
        turn.come()
        while not task.done():
            news = asyncio.ensure_future(self._news.wait())
            try:
                await asyncio.wait({task, news}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()
            await self._pass_on()
        result, ended = task.result()
        del self._runs[call]
        self._count(call, None, begun, ended)
        return result

    def _count(self, call: ServerCall, outcome: metrics.Outcome | None, begun: float, ended: float) -> None:
        """`outcome` None: what its item says. A call that has not come to have one is not counted."""
        if call.item is not None:
            item = self._machine.item(call.item)
            outcome = outcome or _outcome(item)
            metrics.count_call(item_type(item), outcome, ended - begun)
        if (times := timeline.current()) is not None:
            times.ran(call, begun, ended, outcome or "completed")

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


async def _timed(call: ServerCall, emit: Emitter) -> tuple[ToolResult, float]:
    """With the moment when it was there: it may wait for its turn after that."""
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
