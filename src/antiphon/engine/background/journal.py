"""The log of a background run, written down before anybody reads it.

What is emitted is gathered for a moment and written together. What a crash must not forget is waited for: a
call that is about to be made, and its result. A write that fails is tried again until it works, or until the
run is somebody else's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress

import structlog

from antiphon.engine.checkpoint import Checkpoint
from antiphon.engine.saving import rows, without_output
from antiphon.protocol import events
from antiphon.protocol.delta_runs import DeltaRun, Emitted
from antiphon.protocol.response import Response
from antiphon.protocol.wire import encode
from antiphon.store.activity import ActivityRow
from antiphon.store.allowances import Settled
from antiphon.store.errors import LostRun
from antiphon.store.faults import Unreachable
from antiphon.store.run_log import Claim, Record, RunEnd
from antiphon.store.runs import Runs
from antiphon.store.webhooks import Delivery
from antiphon.stream.kinds import EFFECTS, kind_of

log = structlog.get_logger()

GATHER = 0.05
"""Seconds of deltas that are written together: as long as a reader is behind, at most."""
MOST = 4096
"""Events that may wait to be written. A run that is ahead of the disk by more waits for it."""
PAUSE, LONGEST_PAUSE = 0.05, 2.0
"""Seconds between the tries of a write that fails: the first, doubled each time, and the last."""

_SHOWN = (events.InProgress, events.ItemDone)
"""What is written down soon even if nobody reads the log."""
_KEPT = "events could not be written; they are kept"


class Journal:
    """Writes down what a claimed run emits, and its `checkpoint` as it stands then."""

    def __init__(self, runs: Runs, claim: Claim, checkpoint: Checkpoint) -> None:
        self._runs = runs
        self._claim = claim
        self._checkpoint = checkpoint
        self._next = self._until = claim.next
        self._pending: list[bytes] = []
        self._response: Response | None = None
        """As it began, until that is written."""
        self._writing = asyncio.Lock()
        self._writes: set[asyncio.Task[None]] = set()
        self._later: asyncio.TimerHandle | None = None
        self._stopped = asyncio.Event()
        self._lost = False

    async def write(self, emitted: Sequence[Emitted]) -> None:
        """Take events. Raises LostRun when the run is somebody else's now."""
        if self._lost:
            raise LostRun
        if not self.write_at_once(emitted):
            await self.flush()

    def write_at_once(self, emitted: Sequence[Emitted]) -> bool:
        """Take events that nobody waits for. False: they have to be. They are taken all the same, since the
        run may end before they come again."""
        was_ahead = self._is_ahead
        self._take(emitted)
        if self._lost or was_ahead or any(map(_is_waited_for, emitted)):
            return False
        if self._claim.streamed or any(isinstance(event, _SHOWN) for event in emitted):
            self._soon()
        return True

    async def flush(self) -> None:
        """Durable when this returns. Raises LostRun."""
        # Who is cancelled while he waits for a write must not leave it half counted.
        await asyncio.shield(self._start())
        if self._lost:
            raise LostRun

    async def finish(
        self,
        response: Response,
        emitted: Sequence[Emitted],
        deliveries: Sequence[Delivery],
        activity: ActivityRow | None = None,
        settled: Sequence[Settled] = (),
    ) -> None:
        """Take the last events, the response that they end, the webhooks that it has sent, what became of it,
        and what it counts to its key. Raises LostRun."""
        self._forget_later()  # what it had written is written with the end
        async with self._writing:
            # A write that waited before us would tell of the end before it is one.
            self._take(emitted)
            await self._tried(lambda: self._end(response, deliveries, activity, settled))

    def stop(self) -> None:
        """Try no more what fails: the run is to be left as it is."""
        self._stopped.set()

    # ---- writing ----

    def _take(self, emitted: Sequence[Emitted]) -> None:
        """Each event once, by its number."""
        if emitted and emitted[0].sequence_number < self._until:
            emitted = [event for event in emitted if event.sequence_number >= self._until]
        for event in emitted:
            if isinstance(event, DeltaRun):
                self._pending.append(event.lines())
                self._until += len(event.pieces)
                continue
            if isinstance(event, events.InProgress):
                self._response = event.response
            self._pending.append(encode(event))
            self._until += 1

    @property
    def _is_ahead(self) -> bool:
        """Whether too much waits to be written."""
        return self._until - self._next > MOST

    def _soon(self) -> None:
        """Write in a moment what is there by then."""
        if self._later is None:
            self._later = asyncio.get_running_loop().call_later(GATHER, self._start)

    def _start(self) -> asyncio.Task[None]:
        self._forget_later()
        write = asyncio.create_task(self._write())
        self._writes.add(write)
        write.add_done_callback(self._writes.discard)
        return write

    def _forget_later(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None

    async def _write(self) -> None:
        try:
            async with self._writing:
                if self._pending:
                    await self._tried(self._record)
        except LostRun:
            self._lost = True

    async def _tried(self, write: Callable[[], Awaitable[None]]) -> None:
        """Do it until it works. Raises LostRun when it will not."""
        for pause in _pauses():
            try:
                return await write()
            except LostRun:
                raise
            except Exception as error:
                about = error if pause == PAUSE and not isinstance(error, Unreachable) else None
                log.error(_KEPT, response_id=self._claim.id, error=str(error), exc_info=about)
            if self._stopped.is_set():
                break
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopped.wait()
        raise LostRun

    async def _record(self) -> None:
        began = self._response
        response = without_output(began) if began is not None else None
        record = self._next_record(encode(self._checkpoint), response)
        await self._runs.record(self._claim, record)
        del self._pending[: len(record.events)]
        self._next = record.after
        if self._response is began:
            self._response = None

    async def _end(
        self,
        response: Response,
        deliveries: Sequence[Delivery],
        activity: ActivityRow | None,
        settled: Sequence[Settled],
    ) -> None:
        end = RunEnd(
            record=self._next_record(b""),
            response=without_output(response),
            output=rows(response.output),
            speaks=response.status not in ("failed", "cancelled"),
            deliveries=deliveries,
            activity=activity,
            settled=settled,
        )
        await self._runs.finish(self._claim, end)
        self._pending.clear()

    def _next_record(self, progress: bytes, response: bytes | None = None) -> Record:
        return Record(self._next, tuple(self._pending), progress, response, until=self._until)


def _pauses() -> Iterator[float]:
    pause = PAUSE
    while True:
        yield pause
        pause = min(2 * pause, LONGEST_PAUSE)


def _is_waited_for(event: Emitted) -> bool:
    """Whether a crash must not forget it: a call is about to be made, or has its result. What the model says
    nothing depends on: if it is lost, nobody had read it."""
    if isinstance(event, events.ItemDone):
        return kind_of(event.item).nature != "speech"
    return type(event) in EFFECTS
