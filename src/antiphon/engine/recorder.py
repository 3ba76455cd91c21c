"""Keeps what was sent for responses, and what came back: `backends/tape.py` hears it, `store/recordings.py`
has it.

Nothing of it is on the way of a response. When one has ended its tape is put aside; what was put aside is
packed and written twice a second. What cannot be written is told to the log and forgotten.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final, Literal, TypeAlias

import structlog
from msgspec import Struct

from antiphon.backends import tape
from antiphon.backends.tape import Exchange, Room, Tape
from antiphon.engine import recorded, timeline
from antiphon.engine.timeline import Timeline
from antiphon.store.faults import Unreachable
from antiphon.store.recordings import Mark, NewRecording, Packed, Recordings, pack
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
_ROWS, _BYTES = 200, 2**20
"""What is written in one transaction: bytes of bodies, or the exchange that has more."""
_INLINE = 2**19
"""Bytes of bodies that are packed in the event loop, in a few milliseconds."""


class Rules(Struct, frozen=True, kw_only=True):
    """What is kept."""

    which: Which = "all"
    most_bytes: int = 2**30
    """Of all recordings together, as the store has them."""
    silent: frozenset[str] = frozenset()
    """Projects of which nothing is."""


class Outcome(Struct, frozen=True, kw_only=True):
    """How a response ended."""

    stored: bool
    """It can be deleted."""
    failed: bool
    shown: bool
    """What the model wrote may be shown: moderation let it pass."""


class _Ended(Struct, frozen=True, gc=False):
    """What is kept of a response."""

    project: str
    response_id: str
    stored: bool
    has_content: bool
    tape: Tape
    marks: tuple[Mark, ...]


class Session:
    """One response, while it is made: its tape, and its timeline."""

    __slots__ = "_machine", "_project", "_recorder", "_tape", "_timeline", "_tokens"

    def __init__(self, recorder: "Recorder", project: str, machine: Machine, *, keeps: bool) -> None:
        self._recorder = recorder
        self._project = project
        self._machine = machine
        self._tape = Tape(recorder.room, keeps=keeps)
        self._timeline = Timeline()
        machine.watch = self._timeline.watch
        self._tokens = tape.current.set(self._tape), timeline.current.set(self._timeline)

    def end(self, outcome: Outcome) -> None:
        """The response has ended. To be called where the session was begun."""
        on_tape, on_timeline = self._tokens
        tape.current.reset(on_tape)
        timeline.current.reset(on_timeline)
        self._machine.watch = None
        self._tape.end()
        has_content = self._tape.keeps and outcome.shown
        marks = self._timeline.marks if has_content else ()
        ended = _Ended(self._project, self._machine.id, outcome.stored, has_content, self._tape, marks)
        self._recorder.take(ended, failed=outcome.failed)


class Recorder:
    """One for each process."""

    def __init__(self, recordings: Recordings, rules: Rules) -> None:
        self.room = Room(HELD_BYTES)
        self._recordings = recordings
        self._rules = rules
        self._waiting: list[_Ended] = []
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._added = 0
        """Bytes, since it was looked whether there are too many."""

    def records(self, project: str) -> bool:
        """Whether anything is recorded of the project's responses."""
        return project not in self._rules.silent

    def session(self, project: str, machine: Machine, *, keeps: bool) -> Session:
        """What this task and those that it starts send from now on is recorded, for the response of the
        machine. `keeps`: its content as well."""
        return Session(self, project, machine, keeps=keeps)

    def take(self, ended: _Ended, *, failed: bool) -> None:
        """A response has ended."""
        wanted = self._rules.which == "all" or failed or any(map(_went_wrong, ended.tape.exchanges))
        if not wanted or not ended.tape.exchanges:
            ended.tape.release()
            return
        self._waiting.append(ended)
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

    async def _write(self, ended: Sequence[_Ended]) -> None:
        try:
            for takes in _takes(ended):
                rows = await _packed(takes)
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
            for one in ended:
                one.tape.release()


def _went_wrong(exchange: Exchange) -> bool:
    return exchange.error is not None or (exchange.status or 0) >= 400


class _Take(Struct, frozen=True, gc=False):
    """One of the exchanges of a response."""

    of: _Ended
    exchange: Exchange

    @property
    def size(self) -> int:
        return len(self.exchange.request) + len(self.exchange.answer)


def _takes(ended: Sequence[_Ended]) -> Iterator[Sequence[_Take]]:
    """What is written in one transaction each."""
    some: list[_Take] = []
    size = 0
    for take in (_Take(one, exchange) for one in ended for exchange in one.tape.exchanges):
        some.append(take)
        size += take.size
        if len(some) == _ROWS or size > _BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


async def _packed(takes: Sequence[_Take]) -> Sequence[Packed]:
    """In the event loop where that takes less than a thread: each of many small bodies would have to wait for
    the interpreter's lock."""
    size = sum(take.size for take in takes)
    return await asyncio.to_thread(_pack, takes) if size > _INLINE else _pack(takes)


def _pack(takes: Sequence[_Take]) -> list[Packed]:
    return pack(map(_new, takes))


def _new(take: _Take) -> NewRecording:
    of, exchange = take.of, take.exchange
    bodies = recorded.bodies(exchange) if of.has_content else None
    marks = of.marks if exchange is of.tape.exchanges[-1] else ()
    recording = recorded.recording(exchange, bodies, marks)
    return NewRecording(of.project, of.response_id, of.stored, recording, bodies)
