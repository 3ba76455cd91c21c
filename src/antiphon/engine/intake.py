"""What the model says in one turn, on its way into the log.

What comes is written and handed over in one step of the run's task for each batch. Where the reader of the
response and the server of the model have nothing between them that must be waited for, no task takes a step
at all: the server's connection calls `_pour`, which writes, and hands over, as long as the reader keeps up.
"""

import time
from collections.abc import Sequence

from msgspec import Struct

from antiphon.engine.checkpoint import Checkpoint
from antiphon.engine.emission import Flush, FlushAtOnce
from antiphon.engine.turn_writer import TurnWriter
from antiphon.model import Delta, Deltas


class Intake(Struct, eq=False):
    """Gives deltas to a writer, and hands over what becomes of them: by `_flush`, or, where it is given and
    does, by `_at_once`."""

    _writer: TurnWriter
    _checkpoint: Checkpoint
    _flush: Flush
    _at_once: FlushAtOnce | None
    _faults: list[Exception] = []
    """What went wrong while it was called by a connection, until it is raised: one at most."""

    async def read(self, deltas: Deltas) -> None:
        """All of them. Raises ApiError."""
        pour = None if self._at_once is None else self._pour
        try:
            batch = await anext(deltas)
            while True:
                self._take(batch)
                await self._flush()
                try:
                    batch = await deltas.asend(pour)
                except Exception:
                    self._raise()  # what went wrong here is first, whatever the end of the answer was
                    raise
                self._raise()
        except StopAsyncIteration:
            pass
        finally:  # here and now, also when we are cancelled: that is what ends the upstream's work
            await deltas.aclose()

    def _raise(self) -> None:
        """What went wrong while we were called by a connection."""
        if self._faults:
            raise self._faults.pop()  # and not kept: its traceback knows us, a cycle

    def _pour(self, batch: Sequence[Delta]) -> bool:
        """See `Pour`."""
        assert self._at_once is not None
        try:
            self._take(batch)
            return self._at_once()
        except Exception as fault:  # noqa: BLE001 (raised in the run's task)
            self._faults.append(fault)
            return False

    def _take(self, batch: Sequence[Delta]) -> None:
        writer = self._writer
        writer.write(batch)
        if writer.first_at is None and batch:
            writer.first_at = time.time()
            self._checkpoint.first_at = self._checkpoint.first_at or writer.first_at
        if writer.calls or self._checkpoint.output_complete:  # which few deltas need
            self._checkpoint.output_complete = writer.awaits_client
