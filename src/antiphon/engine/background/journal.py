"""The log of a background run, written down before anybody reads it.

What is told is gathered for a moment and written together. What a crash must not forget is waited for: a
call that is about to be made, and its result.
"""

import asyncio
from collections.abc import Sequence

from antiphon.engine.run import Run, rows, without_output
from antiphon.protocol import events
from antiphon.protocol.events import Event
from antiphon.protocol.items import AssistantMessage, Reasoning
from antiphon.protocol.response import Response
from antiphon.protocol.wire import encode
from antiphon.store.runs import Claim, LostRun, Record, RunEnd, Runs
from antiphon.store.webhooks import Delivery

GATHER = 0.05
"""Seconds of deltas that are written together: as long as a reader is behind, at most."""

_SPOKEN = (AssistantMessage, Reasoning)
"""Items that nothing depends on: if they are lost, nobody had read them."""
_SHOWN = (events.InProgress, events.ItemDone)
"""What is written down soon even if nobody reads the log."""


class Journal:
    """Writes down what a claimed run tells."""

    def __init__(self, runs: Runs, claim: Claim, first: int) -> None:
        self._runs = runs
        self._claim = claim
        self._next = first
        self._pending: list[bytes] = []
        self._writing = asyncio.Lock()
        self._later: asyncio.Task[None] | None = None
        self._lost = False
        self._response: bytes | None = None

    async def write(self, told: Sequence[Event], run: Run) -> None:
        """Take events. Raises LostRun when the run is somebody else's now."""
        if self._lost:
            raise LostRun
        if not told:
            return
        self._note(told)
        self._pending += map(encode, told)
        if any(map(_is_waited_for, told)):
            await self.flush(run)
        elif self._claim.streamed or any(isinstance(event, _SHOWN) for event in told):
            self._soon(run)

    def _note(self, told: Sequence[Event]) -> None:
        for event in told:
            if isinstance(event, events.InProgress):
                self._response = without_output(event.response)

    async def flush(self, run: Run) -> None:
        """Durable when this returns. Raises LostRun."""
        async with self._writing:
            if self._pending:
                await self._runs.record(self._claim, self._record(encode(run.checkpoint())))

    async def finish(self, response: Response, told: Sequence[Event], deliveries: Sequence[Delivery]) -> None:
        """Take the last events, the response that they end, and who is to be told. Raises LostRun."""
        self._pending += map(encode, told)
        if self._later is not None:
            self._later.cancel()
        async with self._writing:
            end = RunEnd(
                record=self._record(b""),
                response=without_output(response),
                output=rows(response.output),
                speaks=response.status not in ("failed", "cancelled"),
                deliveries=deliveries,
            )
            await self._runs.finish(self._claim, end)

    def _record(self, progress: bytes) -> Record:
        record = Record(self._next, self._pending, progress, self._response)
        self._next += len(self._pending)
        self._pending, self._response = [], None
        return record

    def _soon(self, run: Run) -> None:
        """Write in a moment what is there by then."""
        if self._later is None or self._later.done():
            self._later = asyncio.create_task(self._flush_later(run))

    async def _flush_later(self, run: Run) -> None:
        await asyncio.sleep(GATHER)
        try:
            await self.flush(run)
        except LostRun:
            self._lost = True


def _is_waited_for(event: Event) -> bool:
    """Whether a crash must not forget it: a call is about to be made, or has its result."""
    if isinstance(event, events.ItemDone):
        return not isinstance(event.item, _SPOKEN)
    return isinstance(event, events.McpArgumentsDone)
