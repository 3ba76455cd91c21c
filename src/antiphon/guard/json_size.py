"""How many values a JSON text holds, found out without building any of them.

Sixty megabytes of `{},{},…` are twenty million objects: seconds of work and gigabytes of memory. Counted are
commas and opening brackets outside of strings, chunk by chunk: no call of C takes long, so that a thread that
counts holds nobody up. What is no JSON is counted all the same.
"""

import re

_CHUNK = 256 * 1024
_ESCAPED = re.compile(rb"\\.", re.DOTALL)


def has_more_values(text: bytes, most: int) -> bool:
    """Whether a JSON text has more than `most` members and elements."""
    if len(text) <= most or _marks(text, most) <= most:
        return False
    return _marks_outside_strings(text, most) > most


def _marks(text: bytes, most: int) -> int:
    """At least as many as there are values: marks in strings count too."""
    found = 0
    for start in range(0, len(text), _CHUNK):
        found += _count(text[start : start + _CHUNK])
        if found > most:
            break
    return found


def _marks_outside_strings(text: bytes, most: int) -> int:
    counter = ValueCounter()
    for start in range(0, len(text), _CHUNK):
        counter.feed(text[start : start + _CHUNK])
        if counter.count > most:
            break
    return counter.count


class ValueCounter:
    """Counts the values of a JSON text that comes in pieces, cut anywhere."""

    def __init__(self) -> None:
        self.count = 0
        self._in_string = False
        self._escape = b""
        """A backslash that the last piece ended with, and whose other half is in the next."""

    def feed(self, piece: bytes) -> None:
        if self._escape or b"\\" in piece:
            piece = self._escape + piece
            cut = (len(piece) - len(piece.rstrip(b"\\"))) % 2
            self._escape = b"\\" * cut
            piece = _ESCAPED.sub(b"", piece[: len(piece) - cut])
        parts = piece.split(b'"')
        self.count += _count(b"".join(parts[self._in_string :: 2]))
        self._in_string ^= len(parts) % 2 == 0


def _count(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")
