"""Server-sent events, split from bytes as they arrive. Made for one-line events, correct for all."""

import re

import msgspec

from antiphon.model.json_text import read_json
from antiphon.protocol.errors import UpstreamError

MAX_EVENT = 32 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"
_BEAT = re.compile(rb"null|\d*|\W*(?:ping|pong|heartbeat|keep-?alive)\W*", re.I)
_LONGEST_BEAT = 64
_NEXT = b"}\ndata:"
"""Where an event ends that no blank line parts from the next."""


class Events:
    """The data of the events in a stream of bytes that may be cut anywhere."""

    __slots__ = ("_cr", "_limit", "_tail")

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._tail = bytearray()
        self._cr = False
        self._limit = limit

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that these bytes complete."""
        return data_of(self.whole(data))

    def whole(self, data: bytes) -> bytes:
        """The events that these bytes complete, with LF line ends, each with its blank line."""
        if data.endswith(b"\n\n") and not self._tail and not self._cr and b"\r" not in data:
            return data  # nearly always
        if self._cr or b"\r" in data:
            data = self._unix(data)
        tail = self._tail
        if tail:
            known = len(tail)
            tail += data
            if not _may_end(tail, known):
                self._check(len(tail))
                return b""
            data = bytes(tail)
        end = data.rfind(b"\n\n") + 2
        events, rest = (data[:end], data[end:]) if end > 1 else (b"", data)
        if _NEXT in rest:
            lines, rest = _lines(rest)
            events += lines
        if rest or tail:
            self._check(len(rest))
            self._tail = bytearray(rest)
        return events

    def rest(self) -> bytes | None:
        """The data of a last event that no blank line ended."""
        return _data(bytes(self._tail))

    def _unix(self, data: bytes) -> bytes:
        """CRLF and CR as LF. A CR at the end waits: it may be half of a CRLF."""
        if self._cr:
            data = b"\r" + data
        self._cr = data.endswith(b"\r")
        if self._cr:
            data = data[:-1]
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise UpstreamError("The upstream sent an event that is too large.")


def all_events(body: bytes) -> list[bytes]:
    """The data of the events of a whole body."""
    events = Events()
    found = events.feed(body)
    rest = events.rest()
    return found if rest is None else [*found, rest]


def data_of(events: bytes) -> list[bytes]:
    """The data of whole events."""
    if events.startswith(b"data: "):
        found = events[6:-2].split(b"\n\ndata: ")
        if events.count(b"\n") == 2 * len(found):
            # Nearly always: each of them is one line.
            return found
    return [data for event in events.split(b"\n\n") if (data := _data(event)) is not None]


def is_beat(data: bytes) -> bool:
    """Whether data is a sign of life and says nothing: nothing at all, a bare word, or a comment."""
    said = data.strip()
    return said[:1] == b":" or (len(said) <= _LONGEST_BEAT and _BEAT.fullmatch(said) is not None)


def _may_end(tail: bytearray, known: int) -> bool:
    """Whether an event may end behind what was known before, or right there."""
    return tail.find(b"\n\n", max(0, known - 1)) >= 0 or tail.find(_NEXT, max(0, known - len(_NEXT))) >= 0


def _lines(rest: bytes) -> tuple[bytes, bytes]:
    """Some servers put a single line break between events: then each line with an object is one. Those that
    are whole, and what is left."""
    events, at = [], 0
    while (end := rest.find(b"\n", at)) >= 0:
        line = rest[at:end].rstrip()
        if not (line.startswith(b"data:") and line.endswith(b"}")):
            break
        events.append(b"data: %b\n\n" % line[5:].lstrip())
        at = end + 1
    return b"".join(events), rest[at:]


def _data(block: bytes) -> bytes | None:
    """The data lines of an event as one; None when it has none."""
    lines: list[bytes] = []
    failed = False
    for line in block.removeprefix(_BOM).split(b"\n"):
        name, _, value = line.partition(b":")
        # Not in the standard: llama.cpp sent errors as a field of their own.
        if name in (b"data", b"error"):
            lines.append(value.removeprefix(b" "))
        failed = failed or (name == b"event" and value.strip() == b"error")
    if not lines:
        return None
    return _failure(b"\n".join(lines)) if failed else b"\n".join(lines)


def _failure(data: bytes) -> bytes:
    """The data of an event named `error`, which may be words alone, as the object that an error is."""
    said = read_json(data, data.decode(errors="replace"))
    if isinstance(said, dict):
        return data if said.get("error") else msgspec.json.encode({"error": said or "unknown"})
    return msgspec.json.encode({"error": {"message": str(said)}})
