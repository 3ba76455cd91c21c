"""What of a JSON text stands outside its strings, found without reading any of it.

No call of C takes long, however the text is made: of what is no JSON something is given all the same.
"""

from collections.abc import Iterator

_CHUNK = 64 * 1024


class Outside:
    """Takes the strings, and what is escaped, out of a JSON text that comes in pieces, cut anywhere."""

    def __init__(self) -> None:
        self._in_string = False
        self._escape = b""
        """A backslash that the last piece ended with, and whose other half is in the next."""

    def feed(self, piece: bytes) -> bytes:
        """What of the piece stands outside."""
        if self._escape or b"\\" in piece:
            piece = self._escape + piece
            cut = (len(piece) - len(piece.rstrip(b"\\"))) % 2
            self._escape = b"\\" * cut
            # Escaped backslashes first: what one of them leaves before a quotation mark escapes that.
            piece = piece[: len(piece) - cut].replace(b"\\\\", b"").replace(b'\\"', b"")
        parts = piece.split(b'"')
        outside = b"".join(parts[self._in_string :: 2])
        self._in_string ^= len(parts) % 2 == 0
        return outside


def outside_strings(text: bytes) -> Iterator[bytes]:
    """The same of a whole text, in pieces."""
    outside = Outside()
    return (outside.feed(text[start : start + _CHUNK]) for start in range(0, len(text), _CHUNK))
