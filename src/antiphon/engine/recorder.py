"""Keeps what was sent for responses, and what came back: `backends/tape.py` hears it, `store/recordings.py`
has it.

Nothing of it is on the way of a response. When one has ended its tape is put aside; what was put aside is
packed and written twice a second. What cannot be written is told to the log and forgotten.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from contextvars import Token
from typing import Final, Literal, TypeAlias

import structlog
from msgspec import Struct

from antiphon.backends import tape
from antiphon.backends.tape import Exchange, Room, Tape
from antiphon.engine import recorded, timeline
from antiphon.engine.timeline import TimedTape
from antiphon.store.faults import Unreachable
from antiphon.store.recordings import NewRecording, Packed, Recordings, pack
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
"""What is written in one transaction: bytes of bodies, or the exchange that has more."""
_SMALL = 2**13
"""Bytes of bodies that are packed in less time than a thread takes to get hold of the interpreter again."""


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
_Take: TypeAlias = tuple[Ended, TimedTape, Exchange]
"""One of the exchanges of a response."""


class Recorder:
    """One for each process."""

    def __init__(self, recordings: Recordings, rules: Rules) -> None:
        self.room = Room(HELD_BYTES)
        self._recordings = recordings
        self._rules = rules
        self._waiting: list[_Taped] = []
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
        made = TimedTape(room=self.room, keeps=keeps)
        machine.watch = made.watch
        return tape.current.set(made)

    def end(self, begun: Token[Tape | None], ended: Ended) -> None:
        """The response has ended. To be called where it was begun."""
        made = timeline.current()
        tape.current.reset(begun)
        if made is None:
            return
        made.end()
        if made.exchanges and (self._rules.which == "all" or ended.failed or _went_wrong(made)):
            self._waiting.append((ended, made))
            self._wake()
        else:
            made.release()

    def _wake(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._write_all())
        elif self.room.left < HELD_BYTES // 2:
            self._hurry.set()

    async def close(self) -> None:
        """Write what waits."""
        self._hurry.set()
        if self._task is not None:
            await self._task

    async def _write_all(self) -> None:
        """Until nothing waits any more."""
        while self._waiting:
            with suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE):
                    await self._hurry.wait()
            self._hurry.clear()
            ended, self._waiting = self._waiting, []
            await self._write(ended)
        self._task = None

    async def _write(self, ended: Sequence[_Taped]) -> None:
        try:
            for size, takes in _portions(ended):
                rows = await _packed(size, takes)
                await self._recordings.add(rows)
                self._added += sum(row.size for row in rows)
            if self._added > self._rules.most_bytes // _PARTS:
                self._added = 0
                await self._recordings.trim(self._rules.most_bytes)
        except Unreachable as error:  # no response waits for this, so neither do we
            log.warning("recordings are lost", responses=len(ended), error=str(error))
        except Exception:
            log.exception("recordings are lost", responses=len(ended))
        finally:
            for _, made in ended:
                made.release()


def _went_wrong(made: Tape) -> bool:
    """Whether an upstream did: that nobody waited for its answer any more is no fault of its."""
    fine = (None, tape.NOT_READ, tape.NOT_ANSWERED)
    return any(each.error not in fine or (each.status or 0) >= 400 for each in made.exchanges)


def _portions(taped: Sequence[_Taped]) -> Iterator[tuple[int, Sequence[_Take]]]:
    """What is written in one transaction each, and how many bytes of bodies it has."""
    some: list[_Take] = []
    size = 0
    for ended, made in taped:
        for exchange in made.exchanges:
            some.append((ended, made, exchange))
            size += len(exchange.request) + len(exchange.answer)
            if len(some) == _ROWS or size > _BYTES:
                yield size, some
                some, size = [], 0
    if some:
        yield size, some


async def _packed(size: int, takes: Sequence[_Take]) -> Sequence[Packed]:
    """In a thread unless most are small."""
    return _pack(takes) if size < len(takes) * _SMALL else await asyncio.to_thread(_pack, takes)


def _pack(takes: Sequence[_Take]) -> list[Packed]:
    return pack(map(_new, takes))


def _new(take: _Take) -> NewRecording:
    ended, made, exchange = take
    has_content = made.keeps and ended.shown
    bodies = recorded.bodies(exchange) if has_content else None
    marks = made.marks if has_content and exchange is made.exchanges[-1] else ()
    recording = recorded.recording(exchange, bodies, marks)
    return NewRecording(ended.project, ended.response_id, ended.stored, recording, bodies)
