"""How deep a JSON text is nested, found out without building any of it.

What is parsed must be written again, within other things: what just goes in would not go out. So there is a
bound far below that of the interpreter.
"""

import re

DEEPEST = 256
"""Levels of a text that is taken for JSON."""
_OTHERS = bytes(set(range(256)) - set(b"{}[]"))
_ALIKE = bytes.maketrans(b"[]", b"{}")
_PAIR = b"{}"
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def is_deeper(text: bytes, most: int = DEEPEST) -> bool:
    """Whether objects and arrays of a JSON text stand in each other more than `most` times. Of a text that is
    none it says nothing."""
    if text.count(b"{") + text.count(b"[") <= most:
        return False
    # Brackets in strings count too at first, as they seldom do any harm.
    return bool(_peeled(text, most)) and _PAIR in _peeled(_STRING.sub(b"", text), most)


def _peeled(text: bytes, layers: int) -> bytes:
    """The brackets of a text without so many layers of pairs, the innermost first."""
    left = text.translate(_ALIKE, _OTHERS)
    for _ in range(layers):
        less = left.replace(_PAIR, b"")
        if len(less) == len(left):
            break
        left = less
    return left
