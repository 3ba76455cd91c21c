"""Keeps what was sent for responses, and what came back: `backends/tape.py` hears it, `store/recordings.py`
has it.

Nothing of it is on the way of a response. When one has ended, and the loop has done what that took, what is
on its tape is packed, so that it is not held for long; what was packed is written twice a second. What cannot
be written is logged and dropped.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from contextvars import Token
from typing import Final, Literal, TypeAlias

import structlog
from msgspec import Struct

from antiphon.backends import tape
from antiphon.backends.tape import Room, Tape
from antiphon.engine import recorded, timeline
from antiphon.engine.timeline import TimedTape
from antiphon.store.faults import Unreachable
from antiphon.store.recordings import NewRecording, Packed, Packer, Recordings
from antiphon.stream.machine import Machine

log = structlog.get_logger()

Which: TypeAlias = Literal["errors", "all"]
"""Of which responses recordings are kept; `errors`: of those that failed, and where an upstream did."""

HELD_BYTES: Final = 64 * 2**20
"""Of recordings that are made or wait, in each process."""
_PARTS = 32
"""Each time that so large a part of what may be kept was added, it is looked whether that is too much."""
_PAUSE = 0.5
"""Seconds between two times of writing."""
_ROWS, _BYTES = 500, 2**20
"""What is written in one transaction: bytes, or the recording that has more."""
_LARGE = 2**18
"""Bytes of a tape that is packed in a thread."""


class Rules(Struct, frozen=True, kw_only=True):
    """What is kept."""

    which: Which = "all"
    most_bytes: int = 2**30
    """Of all recordings together, as the store has them."""
    silent: frozenset[str] = frozenset()
    """Projects of which nothing is."""


class Ended(Struct, frozen=True, kw_only=True, gc=False):
    """A response that has ended."""

    project: str
    response_id: str
    stored: bool
    """It can be deleted."""
    failed: bool
    shown: bool
    """What the model wrote may be shown: moderation let it pass."""


_Taped: TypeAlias = tuple[Ended, TimedTape]


class Recorder:
    """One for each process."""

    def __init__(self, recordings: Recordings, rules: Rules) -> None:
        self.room = Room(HELD_BYTES)
        self._recordings = recordings
        self._rules = rules
        self._packer = Packer()
        self._ended: list[_Taped] = []
        """What is packed in a moment, and then:"""
        self._large: list[_Taped] = []
        """what is packed in a thread,"""
        self._waiting: list[Packed] = []
        """and what is written."""
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._added = 0
        """Bytes, since it was looked whether there are too many."""

    def records(self, project: str) -> bool:
        """Whether anything is recorded of the project's responses."""
        return project not in self._rules.silent

    def begin(self, machine: Machine, *, keeps: bool) -> Token[Tape | None]:
        """What this task and those that it starts send from now on is recorded, for the response of the
        machine. `keeps`: its content as well. Gives what ends it."""
        made = TimedTape(self.room, keeps=keeps)
        machine.watch = made.watch
        return tape.current.set(made)

    def end(self, begun: Token[Tape | None], ended: Ended) -> None:
        """The response has ended. To be called where it was begun."""
        made = timeline.current()
        tape.current.reset(begun)
        if made is None:
            return
        made.end()
        if not made.exchanges or not (self._rules.which == "all" or ended.failed or _went_wrong(made)):
            made.release()
            return
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._pack)
        self._ended.append((ended, made))

    def _pack(self) -> None:
        """Pack what has ended, but for what is large."""
        ended, self._ended = self._ended, []
        for taped in ended:
            if taped[1].taken > _LARGE:
                self._large.append(taped)
            else:
                self._put(taped, _packed(self._packer, taped))
        if ended:
            self._wake()

    def _put(self, taped: _Taped, rows: Sequence[Packed]) -> None:
        taped[1].release()
        self.room.left -= sum(row.size for row in rows)
        self._waiting += rows

    def _wake(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._write_all())
        elif self.room.left < HELD_BYTES // 2:
            self._hurry.set()

    async def close(self) -> None:
        """Write what waits."""
        self._pack()
        self._hurry.set()
        if self._task is not None:
            await self._task

    async def _write_all(self) -> None:
        """Until nothing waits any more."""
        while self._waiting or self._large:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE):
                    await self._hurry.wait()
            self._hurry.clear()
            large, self._large = self._large, []
            for taped in large:
                self._put(taped, await asyncio.to_thread(_packed, Packer(), taped))
            rows, self._waiting = self._waiting, []
            await self._write(rows)
        self._task = None

    async def _write(self, rows: Sequence[Packed]) -> None:
        try:
            for some in _portions(rows):
                await self._recordings.add(some)
            self._added += sum(row.size for row in rows)
            if self._added > self._rules.most_bytes // _PARTS:
                self._added = 0
                await self._recordings.trim(self._rules.most_bytes)
        except Unreachable as error:  # no response waits for this, so neither do we
            log.warning("recordings are lost", recordings=len(rows), error=str(error))
        except Exception:
            log.exception("recordings are lost", recordings=len(rows))
        finally:
            self.room.left += sum(row.size for row in rows)


def _went_wrong(made: Tape) -> bool:
    """Whether an upstream did: that nobody waited for its answer any more is no fault of its."""
    fine = (None, tape.NOT_READ, tape.NOT_ANSWERED)
    return any(each.error not in fine or (each.status or 0) >= 400 for each in made.exchanges)


def _portions(rows: Sequence[Packed]) -> Iterator[Sequence[Packed]]:
    """What is written in one transaction each."""
    first = size = 0
    for place, row in enumerate(rows, 1):
        size += row.size
        if place - first == _ROWS or size > _BYTES or place == len(rows):
            yield rows[first:place]
            first, size = place, 0


def _packed(packer: Packer, taped: _Taped) -> Sequence[Packed]:
    """What is on a tape, as it is written."""
    try:
        return [packer.pack(new) for new in _recordings(*taped)]
    except Exception:
        log.exception("recordings are lost", recordings=len(taped[1].exchanges))
        return ()


def _recordings(ended: Ended, made: TimedTape) -> Iterator[NewRecording]:
    """What is on the tape of a response. The last one has its times."""
    has_content = made.keeps and ended.shown
    for exchange in made.exchanges:
        bodies = recorded.bodies(exchange) if has_content else None
        marks = made.marks if has_content and exchange is made.exchanges[-1] else ()
        recording = recorded.recording(exchange, bodies, marks)
        yield NewRecording(ended.project, ended.response_id, ended.stored, recording, bodies)
