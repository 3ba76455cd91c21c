"""Keeps what was sent for responses, and what came back: `backends/tape.py` hears it, `store/recordings.py`
has it.

Nothing of it is on the way of a response. When one has ended its tape is put aside; what was put aside is
made ready in a thread, and written in one transaction, twice a second. What cannot be written is told to the
log and forgotten.
"""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from contextvars import Token
from types import TracebackType
from typing import Final, Literal, TypeAlias

import structlog
from msgspec import Struct

from antiphon.backends import tape
from antiphon.backends.tape import Exchange, Room, Tape
from antiphon.engine import timeline
from antiphon.engine.timeline import Timeline
from antiphon.store.faults import Unreachable
from antiphon.store.recordings import Mark, NewRecording, Recording, Recordings
from antiphon.stream.machine import Machine

log = structlog.get_logger()

Which: TypeAlias = Literal["errors", "all"]
"""Of which responses recordings are kept; `errors`: of those that failed, and where an upstream did."""

HELD_BYTES: Final = 64 * 2**20
"""Of recordings that are made or wait, in each process."""
KEPT_BYTES: Final = 4 * 2**20
"""Of a body, in the store."""
_PARTS = 32
"""Each time that so large a part of what may be kept was added, it is looked whether that is too much."""
_PAUSE = 0.5
"""Seconds between two transactions."""
_WAITING = 10_000
"""Responses whose recordings wait, at most."""
_LONG = 4096
"""Characters of base64 that are left out of large bodies, but for the first."""
_SHOWN = 64
_LARGE = 2**16
"""Bytes of a body of which pictures are left out."""
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_credentials = re.compile(
    rb'"(?:(authorization"\s*:\s*")(?:[^"\\]|\\.)*\\?(?:"|\Z)|(headers"\s*:\s*)\{[^{}]*(?:\}|\Z))'
)
"""Also where the body was cut within them."""
_REDACTED = b"***"


class Rules(Struct, frozen=True, kw_only=True):
    """What is kept."""

    which: Which = "all"
    most_bytes: int = 2**30
    """Of all recordings together, as the store has them."""
    silent: frozenset[str] = frozenset()
    """Projects of which no content is kept."""


class Session(AbstractContextManager[None]):
    """One response, while it is made: its tape, and its timeline."""

    def __init__(
        self, recorder: "Recorder", project: str, machine: Machine, is_stored: Callable[[], bool], keeps: bool
    ) -> None:
        self.project = project
        self.machine = machine
        self.is_stored = is_stored
        self.tape = Tape(recorder.room, keeps=keeps)
        self.timeline = Timeline()
        self._recorder = recorder
        self._tokens: tuple[Token[Tape | None], Token[Timeline | None]]

    def __enter__(self) -> None:
        self.machine.watch = self.timeline.watch
        self._tokens = tape.current.set(self.tape), timeline.current.set(self.timeline)

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        on_tape, on_timeline = self._tokens
        tape.current.reset(on_tape)
        timeline.current.reset(on_timeline)
        self.machine.watch = None
        self.tape.end()
        self._recorder.take(self)

    @property
    def went_wrong(self) -> bool:
        """Whether the response failed, or a request for it."""
        if self.machine.snapshot().status == "failed":
            return True
        return any(each.error or (each.status or 0) >= 400 for each in self.tape.exchanges)


class _Ended(Struct, frozen=True, gc=False):
    """What is kept of a session."""

    project: str
    response_id: str
    stored: bool
    tape: Tape
    marks: tuple[Mark, ...]


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

    def session(
        self, project: str, machine: Machine, is_stored: Callable[[], bool], *, keeps: bool
    ) -> AbstractContextManager[None]:
        """What is sent in the block is recorded, for the response of the machine. `is_stored` says in the end
        whether that is in the store; `keeps`: whether its content may be."""
        return Session(self, project, machine, is_stored, keeps and project not in self._rules.silent)

    def take(self, session: Session) -> None:
        """A response has ended."""
        wanted = self._rules.which == "all" or session.went_wrong
        if not wanted or not session.tape.exchanges or len(self._waiting) >= _WAITING:
            session.tape.release()
            return
        machine, marks = session.machine, session.timeline.marks
        self._waiting.append(_Ended(session.project, machine.id, session.is_stored(), session.tape, marks))
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
            new = await asyncio.to_thread(lambda: [each for one in ended for each in _recordings(one)])
            self._added += await self._recordings.add(new)
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


# ---- in a thread ------------------------------------------------------------------------------------


def _recordings(ended: _Ended) -> list[NewRecording]:
    tape = ended.tape
    last = tape.exchanges[-1]
    made = (_recording(each, tape.keeps, ended.marks if each is last else ()) for each in tape.exchanges)
    return [NewRecording(ended.project, ended.response_id, ended.stored, each) for each in made]


def _recording(exchange: Exchange, keeps: bool, marks: tuple[Mark, ...]) -> Recording:
    request = answer = None
    if keeps:
        request, answer = shown(exchange.request), shown(b"".join(exchange.pieces))
        for secret in exchange.secrets:
            answer = answer.replace(secret, _REDACTED)
    return Recording(
        turn=exchange.turn,
        backend=exchange.backend,
        method=exchange.method,
        url=_url(exchange),
        started_at=exchange.started_at,
        milliseconds=_since(exchange, exchange.ended_at or time.time()),
        first_milliseconds=None if exchange.first_at is None else _since(exchange, exchange.first_at),
        status=exchange.status,
        content_type=exchange.content_type,
        error=exchange.error,
        request_bytes=exchange.request_bytes,
        answer_bytes=exchange.answer_bytes,
        request=request,
        answer=answer,
        marks=marks,
    )


def shown(body: bytes) -> bytes:
    """A body as it is kept: large ones without their pictures, and without credentials for MCP servers."""
    if len(body) > _LARGE:
        body = b"".join(_without_base64(body))[:KEPT_BYTES]
    return _credentials.sub(_redacted, body) if b'"mcp"' in body else body


def _without_base64(body: bytes) -> Iterator[bytes]:
    """Pieces of JSON. Only strings that may be long are looked at: what lies between two quotes that are
    near each other is passed over."""
    at = 0
    while at < len(body):
        quote = body.rfind(b'"', at, at + _LONG)
        if quote >= 0:
            end = quote + 1
            yield body[at:end]
        else:
            end = body.find(b'"', at + _LONG)
            end = len(body) if end < 0 else end
            yield _shortened(body[at:end])
        at = end


def _shortened(string: bytes) -> bytes:
    """A string that is base64, alone or in a data URL, without most of it; any other as it is."""
    if len(string) < _LONG:
        return string
    place, comma, data = string.rpartition(b",")
    if data.translate(None, _BASE64):
        return string
    left_out = b"[%d characters of base64 are left out]" % (len(data) - _SHOWN)
    return place + comma + data[:_SHOWN] + left_out


def _redacted(found: re.Match[bytes]) -> bytes:
    authorization, headers = found[1], found[2]
    if authorization:
        return b'"%s%s"' % (authorization, _REDACTED)
    return b'"%s{"%s":"%s"}' % (headers, _REDACTED, _REDACTED)


def _url(exchange: Exchange) -> str:
    url = exchange.url
    if url.raw_user or url.raw_password:
        url = url.with_user(None)
    if url.raw_query_string:
        url = url.with_query([(name, _REDACTED.decode()) for name in url.query])
    return str(url)


def _since(exchange: Exchange, at: float) -> int:
    return max(0, round((at - exchange.started_at) * 1000))
