"""A client that goes away ends the work that was done for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import Receive


class Disconnected(Exception):
    """The client is gone: there is nobody to answer."""


@asynccontextmanager
async def connected(receive: Receive) -> AsyncIterator[None]:
    """While the block runs, the client's going away cancels it. Raises Disconnected then."""
    work = asyncio.current_task()
    assert work is not None
    gone = False

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        work.cancel()

    watcher = asyncio.create_task(watch())
    try:
        yield
    except asyncio.CancelledError:
        if gone and work.uncancel() == 0:
            raise Disconnected from None
        raise
    finally:
        watcher.cancel()
