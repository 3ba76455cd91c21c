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
    found, in_string, start = 0, False, 0
    while start < len(text) and found <= most:
        chunk = text[start : start + _CHUNK]
        start += len(chunk)
        if b"\\" in chunk:
            if (len(chunk) - len(chunk.rstrip(b"\\"))) % 2:  # an escape is cut: its rest belongs here
                chunk += text[start : start + 1]
                start += 1
            chunk = _ESCAPED.sub(b"", chunk)
        pieces = chunk.split(b'"')
        found += _count(b"".join(pieces[in_string::2]))
        in_string ^= len(pieces) % 2 == 0
    return found


def _count(text: bytes) -> int:
    return text.count(b",") + text.count(b"[") + text.count(b"{")
