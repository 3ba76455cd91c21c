"""What is sent to upstreams for a response, and what comes back, as it goes over the wire.

A `Tape` belongs to one response. While it is the `current` one of a task, every request of that task and of
those that it starts is on it: the HTTP client (`http`) sees to that, so nothing between the engine and the
socket knows of it, and no retry, fallback or replica is left out. With no tape a request costs one look.

Nothing is decoded here. All tapes of a process together hold no more than their `Room` has; what finds no
place there is counted and not kept.
"""

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

from msgspec import Struct
from yarl import URL

REQUEST_BYTES: Final = 32 * 2**20
"""Of a body that is sent, at most: pictures stand in it as base64."""
ANSWER_BYTES: Final = 8 * 2**20
"""Of a body that comes back."""
EXCHANGES: Final = 500
"""Of one response; what is asked for beyond is not on its tape."""
_EXCHANGE = 2**12
"""Bytes of the room that an exchange takes beside its request, about, with a short answer."""
_SHORT = 3 * 2**10
_SLAB = 2**14
"""Bytes of the room that a longer one takes in one go."""
NOT_READ = "The answer was not read to its end."
NOT_ANSWERED = "It was given up before an answer came."


class Room:
    """Bytes that all tapes of a process may hold."""

    def __init__(self, most: int) -> None:
        self.left = most


class Server(Struct, frozen=True):
    """Who is asked."""

    name: str | None
    """Under which it is configured."""
    secrets: tuple[bytes, ...]
    """What may not be shown, should it stand in a body."""


class Exchange:
    """A request, and its answer as far as it has come. Times are seconds since the epoch."""

    def __init__(
        self, tape: "Tape", server: Server, method: str, url: URL, request: bytes, request_bytes: int
    ) -> None:
        """`request` is empty where it is not kept."""
        self.turn = tape.turn
        self.server = server
        self.method = method
        self.url = url
        self.request = request
        self.request_bytes = request_bytes
        self.started_at = time.time()
        self.first_at: float | None = None
        """When the head of the answer was there."""
        self.ended_at: float | None = None
        self.status: int | None = None
        self.content_type = ""
        self.error: str | None = None
        self.answer_bytes = 0
        self._tape = tape if tape.keeps else None
        """What has room for the answer. None: no more is kept of it."""
        self._allowed = _SHORT
        """How long the answer may be without asking for more room."""
        self._slabs: list[bytes] = []
        self._pieces: list[bytes] = []
        """What has come since the last slab, as it came."""

    @property
    def answer(self) -> bytes:
        """As much as was kept."""
        return b"".join((*self._slabs, *self._pieces))

    def answered(self, status: int, content_type: str) -> None:
        """The head of the answer is there."""
        self.status, self.content_type, self.first_at = status, content_type, time.time()

    def heard(self, data: bytes) -> None:
        """A piece of the answer."""
        self.answer_bytes += len(data)
        if self._tape is not None and (self.answer_bytes <= self._allowed or self._grows(self._tape)):
            self._pieces.append(data)

    def passing(self, take: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
        """`take`, of what is heard as well: one call and not two, as it is made for each delta."""

        def passed(data: bytes) -> bool:
            self.answer_bytes += len(data)
            if self._tape is not None and (self.answer_bytes <= self._allowed or self._grows(self._tape)):
                self._pieces.append(data)
            return take(data)

        return passed

    def failed(self, fault: BaseException) -> None:
        """It came to nothing, broke off, or was given up."""
        if isinstance(fault, OSError):
            self.error = str(fault) or type(fault).__name__
        self.closed(at_end=False)

    def closed(self, at_end: bool) -> None:
        """Nothing more is read of it. `at_end`: all of it was."""
        if self.ended_at is None:
            self.ended_at = time.time()
            if not at_end and self.error is None:
                self.error = NOT_READ if self.status else NOT_ANSWERED
            self._tape = None

    def _grows(self, tape: "Tape") -> bool:
        """Whether there is room for all that has come. Once there was none, nothing is kept any more."""
        more = max(_SLAB, self.answer_bytes - self._allowed)
        if self.answer_bytes > ANSWER_BYTES or not tape.take(more):
            self._tape = None
            return False
        self._allowed += more
        self._slabs.append(b"".join(self._pieces))  # tiny pieces take many times their bytes
        self._pieces.clear()
        return True


class Tape:
    """The requests of one response, in the order in which they began."""

    def __init__(self, room: Room, *, keeps: bool) -> None:
        """`keeps`: bodies; else only how many bytes they had."""
        self.keeps = keeps
        self.turn = 0
        """The turn of the model that is made; 0: none yet."""
        self.exchanges: list[Exchange] = []
        self.taken = 0
        """Bytes of the room."""
        self._room = room
        self._ended = False

    def record(self, server: Server, method: str, url: URL, body: bytes | None) -> Exchange | None:
        """A request begins. None: it is not recorded: there is no room, or the response has ended, and who
        asks has only begun in its time."""
        if self._ended or len(self.exchanges) >= EXCHANGES:
            return None
        body = body or b""
        kept = body if self.keeps and len(body) <= REQUEST_BYTES else b""
        if not self.take(_EXCHANGE + len(kept)):
            kept = b""
            if not self.take(_EXCHANGE):
                return None
        exchange = Exchange(self, server, method, url, kept, len(body))
        self.exchanges.append(exchange)
        return exchange

    def take(self, size: int) -> bool:
        """Whether the room has so much left, which is taken then."""
        if size > self._room.left:
            return False
        self._room.left -= size
        self.taken += size
        return True

    def end(self) -> None:
        """What comes from now on is not on it."""
        self._ended = True
        for exchange in self.exchanges:
            exchange.closed(at_end=False)

    def release(self) -> None:
        """Nobody needs what is on it any more. Connections and tasks that began in its time still have the
        tape, in their context."""
        self.exchanges = []
        self._room.left += self.taken
        self.taken = 0


current: ContextVar[Tape | None] = ContextVar("tape", default=None)
"""The tape of the response that this task works for."""


def next_turn() -> None:
    """A turn of the model begins."""
    tape = current.get()
    if tape is not None:
        tape.turn += 1
