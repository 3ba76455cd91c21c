"""Reading JSON while it is written: the text of each string, as soon as it is there.

A model writes the arguments of a call piece by piece, cut anywhere: in the middle of an escape, or between
the two halves of a surrogate pair. The reader gives the strings among the values, each piece with its
place. It does not judge: whether all of it was JSON is known when it is whole (`decode`).
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple, Never

import msgspec

_SPECIAL = re.compile(r'["\\]')
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_UNREADABLE = "\ufffd"


Path = tuple[str | int, ...]
"""Keys and indexes that lead to a value."""


class Piece(NamedTuple):
    """A piece of a string that is a value."""

    path: Path
    text: str
    ended: bool
    """Whether this is the last piece of the string."""


class StringReader:
    """Reads one JSON value."""

    def __init__(self) -> None:
        self._frames: list[_Frame] = []
        self._string: _String | None = None

    def feed(self, text: str) -> Iterator[Piece]:
        """The pieces of strings in the next piece of JSON."""
        at = 0
        while at < len(text):
            string = self._string
            if string is None:
                self._structure(text[at])
                at += 1
                continue
            at = string.read(text, at)
            piece = self._piece(string)
            if piece is not None:
                yield piece

    def _piece(self, string: "_String") -> Piece | None:
        decoded = string.take()
        if string.ended:
            self._string = None
        if string.is_key:
            frame = self._frames[-1]
            frame.key = decoded if frame.expects_key else f"{frame.key}{decoded}"
            frame.expects_key = False
            return None
        if not decoded and not string.ended:
            return None
        return Piece(tuple(frame.key for frame in self._frames), decoded, string.ended)

    def _structure(self, char: str) -> None:
        """A character outside of strings."""
        if char == '"':
            self._string = _String(is_key=bool(self._frames) and self._frames[-1].expects_key)
        elif char in "{[":
            self._frames.append(_Frame("", True) if char == "{" else _Frame(0, False))
        elif char in "}]" and self._frames:
            self._frames.pop()
        elif char == "," and self._frames:
            self._frames[-1].next()


class _Frame:
    """An object or an array that is not closed yet."""

    def __init__(self, key: str | int, expects_key: bool) -> None:
        self.key = key
        self.expects_key = expects_key

    def next(self) -> None:
        if isinstance(self.key, int):
            self.key += 1
        else:
            self.expects_key = True


class _String:
    """A string that is being read."""

    def __init__(self, is_key: bool) -> None:
        self.is_key = is_key
        self.ended = False
        self._decoded: list[str] = []
        self._escape = ""
        """An escape that is not whole yet."""
        self._high = ""
        """The first half of a surrogate pair, as it is escaped."""

    def take(self) -> str:
        """What was decoded since the last time."""
        decoded, self._decoded = "".join(self._decoded), []
        return decoded

    def read(self, text: str, at: int) -> int:
        """Read from the text until it or the string ends; where that was."""
        while at < len(text) and not self.ended:
            if self._escape:
                self._on_escape(text[at])
                at += 1
                continue
            special = _SPECIAL.search(text, at)
            end = special.start() if special else len(text)
            if end > at:
                self._put(text[at:end])
            if special and special[0] == '"':
                self._put("")
                self.ended = True
            elif special:
                self._escape = "\\"
            at = end + 1
        return min(at, len(text))

    def _on_escape(self, char: str) -> None:
        self._escape += char
        if self._escape[1] != "u":
            self._put(_ESCAPES.get(char, _UNREADABLE))
        elif len(self._escape) == 6:
            self._on_unit(self._escape[2:])
        else:
            return
        self._escape = ""

    def _on_unit(self, digits: str) -> None:
        """A code unit of UTF-16."""
        unit = int(digits, 16) if re.fullmatch("[0-9a-fA-F]{4}", digits) else 0xFFFD
        if self._high and 0xDC00 <= unit < 0xE000:
            pair, self._high = 0x10000 + ((int(self._high, 16) - 0xD800) << 10) + unit - 0xDC00, ""
            self._put(chr(pair))
            return
        self._put("")
        if 0xD800 <= unit < 0xDC00:
            self._high = digits
        else:
            self._put(_UNREADABLE if 0xDC00 <= unit < 0xE000 else chr(unit))

    def _put(self, text: str) -> None:
        """Add text. Half a pair that nothing completed before it cannot be read."""
        if self._high:
            self._decoded.append(_UNREADABLE)
            self._high = ""
        if text:
            self._decoded.append(text)


def decode(arguments: str) -> dict[str, Any] | str:
    """The arguments of a call that is whole; a text says what is wrong with them. Line breaks and other
    control characters may stand in strings as they are: models write them so."""
    try:
        value = _decoded(arguments or "{}")
    except ValueError as fault:  # a lone surrogate is one too
        return f"The arguments are not valid JSON: {fault}."
    except RecursionError:
        return "The arguments are nested too deeply."
    return value if isinstance(value, dict) else "The arguments are not a JSON object."


def _decoded(arguments: str) -> Any:
    """Nearly always they are JSON as it should be."""
    try:
        return msgspec.json.decode(arguments)
    except ValueError:
        value = json.loads(arguments, strict=False, parse_constant=_no_number)
        json.dumps(value, ensure_ascii=False).encode()
        return value


def _no_number(name: str) -> Never:
    raise ValueError(f"{name} is no number in JSON")
