"""What is kept of a stream that may have no end."""

_PIECE = 1 << 16
_MARK = "\n[… left out …]\n"
_SMALLEST_MARKED = 100
"""Characters; less of a stream is cut without a mark."""


class Kept:
    """The beginning and the end of a stream: so many characters of both together."""

    def __init__(self, most: int) -> None:
        self._most = most
        # A character has up to four bytes.
        self._room = 4 * most
        self._head = bytearray()
        self._tail = bytearray()
        self._left_out = 0

    def add(self, data: bytes) -> None:
        free = self._room - len(self._head)
        self._head += data[:free]
        self._tail += data[free:]
        if len(self._tail) > 2 * self._room + _PIECE:
            self._trim()

    def _trim(self) -> None:
        too_much = len(self._tail) - self._room
        if too_much > 0:
            del self._tail[:too_much]
            self._left_out += too_much

    def text(self) -> str:
        if not self._left_out:
            whole = (self._head + self._tail).decode(errors="replace")
            if len(whole) <= self._most:
                return whole
        self._trim()
        if not self._left_out:
            self._head += self._tail
            self._tail = self._head
        return self._cut()

    def _cut(self) -> str:
        mark = _MARK if self._most >= _SMALLEST_MARKED else ""
        half = (self._most - len(mark)) // 2
        first = self._head.decode(errors="replace")[:half]
        rest = self._most - len(mark) - len(first)
        return first + mark + (self._tail.decode(errors="replace")[-rest:] if rest else "")
