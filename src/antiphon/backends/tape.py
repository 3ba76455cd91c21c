"""What is sent to upstreams for a response, and what comes back, as it goes over the wire.

A `Tape` belongs to one response. While it is the `current` one of a task, every request of that task and of
those that it starts is on it: the HTTP client (`http`) sees to that, so nothing between the engine and the
socket knows of it, and no retry, fallback or replica is left out. With no tape a request costs one look.

What comes is kept in the pieces in which it was read: nothing is decoded, joined or copied. All tapes of a
process together hold no more than their `Room` has; what finds no place there is counted and not kept.
"""

import time
from contextvars import ContextVar
from typing import Final

from yarl import URL

REQUEST_BYTES: Final = 32 * 2**20
"""Of a body that is sent, at most: pictures stand in it as base64."""
ANSWER_BYTES: Final = 8 * 2**20
"""Of a body that comes back."""
EXCHANGES: Final = 500
"""Of one response; what is asked for beyond is not on its tape."""
_SLAB = 2**14
"""Bytes of the room that an answer takes in one go."""


class Room:
    """Bytes that all tapes of a process may hold."""

    def __init__(self, most: int) -> None:
        self.left = most


class Share:
    """What one tape has of a room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._taken = 0
        self._ended = False

    def take(self, size: int) -> bool:
        """Whether the room has so much left, which is taken then."""
        if self._ended or size > self._room.left:
            return False
        self._room.left -= size
        self._taken += size
        return True

    def end(self) -> None:
        """Take no more."""
        self._ended = True

    def release(self) -> None:
        """Give back what was taken."""
        self._room.left += self._taken
        self._taken = 0


class Exchange:
    """A request, and its answer as far as it has come. Without a `share` no content is kept."""

    def __init__(
        self,
        share: Share | None,
        turn: int,
        backend: str | None,
        method: str,
        url: URL,
        body: bytes | None,
        secrets: tuple[bytes, ...],
    ) -> None:
        """`secrets`: what may not be shown, should the server repeat it."""
        self.turn = turn
        self.backend = backend
        self.method = method
        self.url = url
        self.request_bytes = len(body) if body is not None else 0
        self.request = body or b""
        self.answer_bytes = 0
        self.pieces: list[bytes] = []
        """Of the answer."""
        self.secrets = secrets
        self.status: int | None = None
        self.content_type: str | None = None
        self.error: str | None = None
        self.started_at = time.time()
        """Seconds since the epoch, as `first_at`, when the head of the answer was there, and `ended_at`."""
        self.first_at: float | None = None
        self.ended_at: float | None = None
        self._share = share
        self._free = 0
        """Bytes that it has taken of the room, and not filled."""
        if share is None or self.request_bytes > REQUEST_BYTES or not share.take(self.request_bytes):
            self.request = b""

    def answered(self, status: int, content_type: str) -> None:
        """The head of the answer is there."""
        self.status, self.content_type, self.first_at = status, content_type or None, time.time()

    def heard(self, data: bytes) -> None:
        """A piece of the answer."""
        size = len(data)
        self.answer_bytes += size
        if size <= self._free or self._takes(size):
            self._free -= size
            self.pieces.append(data)

    def failed(self, fault: BaseException) -> None:
        """It came to nothing, or broke off."""
        self.error = str(fault) or type(fault).__name__

    def closed(self, at_end: bool) -> None:
        """Nothing more is read of it."""
        if self.ended_at is None:
            self.ended_at = time.time()
            if not at_end and self.error is None:
                self.error = "The answer was not read to its end."

    def _takes(self, size: int) -> bool:
        """Whether there is room for more. Once there was none, nothing is kept any more."""
        wanted = max(_SLAB, size)
        if self._share is not None and self.answer_bytes <= ANSWER_BYTES and self._share.take(wanted):
            self._free += wanted
            return True
        self._share, self._free = None, 0
        return False


class Tape:
    """The requests of one response, in the order in which they began."""

    def __init__(self, room: Room, *, keeps: bool) -> None:
        """`keeps`: bodies; else only how many bytes they had."""
        self.keeps = keeps
        self.turn = 0
        """The turn of the model that is made; 0: none yet."""
        self.exchanges: list[Exchange] = []
        self._share = Share(room)
        self._ended = False

    def record(
        self, backend: str | None, method: str, url: URL, body: bytes | None, secrets: tuple[bytes, ...]
    ) -> Exchange | None:
        """A request begins. None: it is not recorded, since the response has ended: whoever asks has only
        begun in its time."""
        if self._ended or len(self.exchanges) >= EXCHANGES:
            return None
        share = self._share if self.keeps else None
        exchange = Exchange(share, self.turn, backend, method, url, body, secrets)
        self.exchanges.append(exchange)
        return exchange

    def end(self) -> None:
        """What comes from now on is not on it."""
        self._ended = True
        self._share.end()

    def release(self) -> None:
        """Nobody holds what is on it any more."""
        self._share.release()


current: ContextVar[Tape | None] = ContextVar("tape", default=None)
"""The tape of the response that this task works for."""


def next_turn() -> None:
    """A turn of the model begins."""
    tape = current.get()
    if tape is not None:
        tape.turn += 1
