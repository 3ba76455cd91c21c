"""The calls of one turn that we run: all at once, each emitted when its turn has come."""

import asyncio
from types import TracebackType
from typing import Self

import structlog

from antiphon.engine.emission import Flush
from antiphon.model import TextPart
from antiphon.protocol.errors import ApiError
from antiphon.stream.machine import Machine
from antiphon.stream.table import IllegalTransition
from antiphon.tools.base import ServerCall, ToolResult
from antiphon.tools.emitter import Emitter, Turn

log = structlog.get_logger()

_FAILED = ToolResult((TextPart("Error: the tool failed. Go on without its answer, and say so."),))


class CallRuns:
    """Runs calls, as long as the block lasts. `flush` passes on what was emitted."""

    def __init__(self, machine: Machine, flush: Flush) -> None:
        self._machine = machine
        self._flush = flush
        self._runs: dict[ServerCall, tuple[Turn, asyncio.Task[ToolResult]]] = {}
        self._news = asyncio.Event()
        self._emitted: list[asyncio.Future[None]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, task in self._runs.values():
            task.cancel()

    def begin(self, call: ServerCall) -> None:
        turn = Turn(self._passed_on)
        emit = Emitter(turn, self._machine, lambda: call.item)
        self._runs[call] = (turn, asyncio.create_task(_run(call, emit)))

    async def end(self, call: ServerCall) -> ToolResult:
        """What came of it, when all that it emits was passed on."""
        turn, task = self._runs[call]
        turn.come()
        while not task.done():
            news = asyncio.ensure_future(self._news.wait())
            try:
                await asyncio.wait({task, news}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()
            await self._pass_on()
        return task.result()

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
