"""Random characters behind deltas, which hide their length from an eavesdropper."""

import secrets
from random import getrandbits

BLOCK = 16
"""Texts of up to so many bytes look alike."""
_OFFSETS = 12
_POOL = secrets.token_urlsafe(3 << _OFFSETS).encode()
"""Random characters to cut paddings from, four times as many as there are places to begin at."""


def padding_for(size: int) -> bytes:
    """As many characters as are missing to a power of two, at least a block: lengths that differ within
    a token's usual range look alike. Which characters they are matters to nobody: the wire is encrypted."""
    start = getrandbits(_OFFSETS)
    if size <= BLOCK:
        return _POOL[start : start + BLOCK - size]
    missing = (1 << (size - 1).bit_length()) - size
    padding = _POOL[start : start + missing]
    return padding if len(padding) == missing else (_POOL * (missing // len(_POOL) + 1))[:missing]
