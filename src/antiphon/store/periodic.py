"""What has to be done again and again while the server runs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog

log = structlog.get_logger()

PERIOD_SECONDS = 600.0
"""How often each thing is done."""


@asynccontextmanager
async def periodic(*jobs: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Does these one after another, from now on while the block runs. The block does not wait for it: there
    may be much."""
    task = asyncio.create_task(_repeat(jobs))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _repeat(jobs: tuple[Callable[[], Awaitable[None]], ...]) -> None:
    while True:
        for job in jobs:
            try:
                await job()
            except Exception:  # the top of a task: the disk may be well again next time
                log.exception("a periodic job failed", job=getattr(job, "__qualname__", repr(job)))
        await asyncio.sleep(PERIOD_SECONDS)
