"""Whether a text is JSON, or the beginning of it."""

import re

import msgspec

_PARTS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|["{}\[\]]', re.S)


def is_json(text: str) -> bool:
    """Whether a text is a whole JSON value."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


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
