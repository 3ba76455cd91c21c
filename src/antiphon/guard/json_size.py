"""How many values a JSON text holds, found out without building any of them.

Sixty megabytes of `{},{},…` are twenty million objects: seconds of work and gigabytes of memory. Counted are
commas and opening brackets outside of strings, chunk by chunk: no call of C takes long, so that a thread that
counts holds nobody up. What is no JSON is counted all the same.
"""

from antiphon.guard.json_strings import Outside, outside_strings

_CHUNK = 256 * 1024


def has_more_values(text: bytes, most: int) -> bool:
    """Whether a JSON text has more than `most` members and elements."""
    if len(text) <= most or _marks(text, most) <= most:
        return False
    found = 0
    for piece in outside_strings(text):
        found += _count(piece)
        if found > most:
            return True
    return False


def _marks(text: bytes, most: int) -> int:
    """At least as many as there are values: marks in strings count too."""
    found = 0
    for start in range(0, len(text), _CHUNK):
        found += _count(text[start : start + _CHUNK])
        if found > most:
            break
    return found


class ValueCounter:
    """Counts the values of a JSON text that comes in pieces, cut anywhere."""

    def __init__(self) -> None:
        self.count = 0
        self._outside = Outside()

    def feed(self, piece: bytes) -> None:
        self.count += _count(self._outside.feed(piece))


def _count(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")
