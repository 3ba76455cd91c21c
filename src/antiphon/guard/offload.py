"""Work that is done here when it is small, and in a thread when it would keep others waiting.

A thread does not make it cheaper: it lets everything else go on meanwhile, since the interpreter changes
hands every few milliseconds.
"""

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SMALL = 500
"""So many items, messages or parts are worked on at once."""
_THING = 16_384
"""Bytes that take as long as one of them."""


def in_bytes(count: int) -> int:
    """The size of so many bytes, counted in things."""
    return count // _THING


async def offload(size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns. `size`: how many things it has to look at."""
    if size <= SMALL:
        return work(*args, **kwargs)
    return await asyncio.to_thread(work, *args, **kwargs)
