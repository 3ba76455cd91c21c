"""Whether a text is JSON, or the beginning of it, and where it ends."""

import re
from typing import Any

import msgspec

from antiphon.guard.json_depth import is_deeper

_PARTS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|["{}\[\]]', re.S)

_MARKS = re.compile(r'["\\{}\[\]]')


def read_json(text: str | bytes, otherwise: Any = None) -> Any:
    """The value of a JSON text; `otherwise` for a text that is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return otherwise


def is_json(text: str) -> bool:
    """Whether a text is a whole JSON value."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def is_object(text: str) -> bool:
    """Whether a text is a JSON object, which can stand within others."""
    return isinstance(read_json(text), dict) and not is_deeper(text.encode())


def is_same(first: str, second: str) -> bool:
    """Whether two texts, which are JSON, mean the same."""
    return first == second or bool(msgspec.json.decode(first) == msgspec.json.decode(second))


def is_cut(text: str) -> bool:
    """Whether a text breaks off in the middle of a string, an object or an array."""
    depth = 0
    for found in _PARTS.finditer(text):
        part = found[0]
        if part == '"':
            return True
        if part in "{[":
            depth += 1
        elif part in "}]":
            depth -= 1
    return depth > 0


class JsonEnd:
    """Finds the end of an object or array in a text that comes in pieces."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def find(self, text: str) -> int | None:
        """How much of a piece belongs to it, if it ends there."""
        at = 1 if self._escaped and text else 0
        self._escaped = self._escaped and not text
        while found := _MARKS.search(text, at):
            at = found.end()
            if self._in_string and found[0] == "\\":
                self._escaped = at == len(text)
                at += 1
            elif found[0] == '"':
                self._in_string = not self._in_string
            elif not self._in_string and self._deeper(found[0]) == 0:
                return at
        return None

    def _deeper(self, bracket: str) -> int:
        self._depth += 1 if bracket in "{[" else -1 if bracket in "}]" else 0
        return self._depth
