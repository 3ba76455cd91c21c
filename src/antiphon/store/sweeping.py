"""What is over is swept away, from time to time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import structlog

log = structlog.get_logger()

SWEEP_SECONDS = 600.0
"""How often is looked for what is over."""


@asynccontextmanager
async def swept(*sweeps: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Sweeps from now on while the block runs. The block does not wait for it: there may be much."""
    task = asyncio.create_task(_keep_sweeping(sweeps))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _keep_sweeping(sweeps: tuple[Callable[[], Awaitable[None]], ...]) -> None:
    while True:
        for sweep in sweeps:
            try:
                await sweep()
            except Exception:  # the top of a task: the disk may be well again next time
                log.exception("what is over could not be swept")
        await asyncio.sleep(SWEEP_SECONDS)
