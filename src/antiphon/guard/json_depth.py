"""How deep a JSON text is nested, found out without building any of it.

What is parsed must be written again, within other things: what just goes in would not go out. So there is a
bound far below that of the interpreter.
"""

from itertools import accumulate

from antiphon.guard.json_strings import outside_strings

DEEPEST = 256
"""Levels of a text that is taken for JSON."""
_OTHERS = bytes(set(range(256)) - set(b"{}[]"))
_STEPS = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}


def is_deeper(text: bytes, most: int = DEEPEST) -> bool:
    """Whether objects and arrays of a JSON text stand in each other more than `most` times. Of a text that is
    none it says nothing."""
    if len(text) <= 2 * most or len(text.translate(None, _OTHERS)) <= 2 * most:
        return False  # each level has two brackets
    depth = 0
    for piece in outside_strings(text):
        depths = list(accumulate(map(_STEPS.__getitem__, piece.translate(None, _OTHERS)), initial=depth))
        if max(depths) > most:
            return True
        depth = depths[-1]
    return False
