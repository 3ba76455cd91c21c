"""Calls that wait for a disk, in threads."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def in_thread(call: Callable[..., T], *arguments: object, drop: Callable[[T], None] | None = None) -> T:
    """What `call` returns. Who is cancelled meanwhile waits for the thread all the same, so that nothing is
    taken away from under it; what it returns then is given to `drop`."""
    work = asyncio.ensure_future(asyncio.to_thread(call, *arguments))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({work})
        if drop is not None and work.exception() is None:
            drop(work.result())
        raise
