"""Sandboxes that are started before they are wanted, once one was wanted."""

import asyncio
import contextlib
from typing import Final

import structlog

from antiphon.sandbox.base import Driver, Limits, Sandbox, SandboxError, Wanted

log = structlog.get_logger()

IDLE_SECONDS: Final = 20 * 60.0
"""After which they are given up, when none was wanted any more."""
_START_SECONDS: Final = 60.0


class Warm(Driver):
    """A driver that keeps some ready, with Python started, of the kind that was wanted last. A sandbox with
    hosts to reach is always a new one."""

    def __init__(self, driver: Driver, most: int, idle_seconds: float = IDLE_SECONDS) -> None:
        self._driver = driver
        self._most = most
        self._idle_seconds = idle_seconds
        self._limits: Limits | None = None
        self.ready: list[Sandbox] = []
        """Those that wait."""
        self._filling: asyncio.Task[None] | None = None
        self._idle: asyncio.TimerHandle | None = None
        self._giving_up: asyncio.Task[None] | None = None
        self._count = 0

    async def check(self) -> str | None:
        return await self._driver.check()

    async def start(self, wanted: Wanted) -> Sandbox:
        """Its name counts where it is a new one."""
        if not self._most or wanted.domains:
            return await self._driver.start(wanted)
        found = await self._take(wanted.limits)
        sandbox = found or await self._driver.start(wanted)
        self._fill_later()
        return sandbox

    async def close(self) -> None:
        if self._filling is not None:
            self._filling.cancel()
            await asyncio.wait({self._filling})
        if self._idle is not None:
            self._idle.cancel()
        if self._giving_up is not None:
            await asyncio.wait({self._giving_up})
        await self._give_up()
        await self._driver.close()

    async def _take(self, limits: Limits) -> Sandbox | None:
        if limits != self._limits:
            self._limits = limits
            await self._give_up()
        while self.ready:
            sandbox = self.ready.pop(0)
            if sandbox.ended is None:
                return sandbox
            await sandbox.close()
        return None

    def _fill_later(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if self._filling is None or self._filling.done():
            self._filling = asyncio.ensure_future(self._fill())

    def _give_up_later(self) -> None:
        self._giving_up = asyncio.ensure_future(self._give_up())

    async def _fill(self) -> None:
        """A fault here is no one's: who wants a sandbox next starts one, and hears of it. They are idle from
        when all are there, or no more come: a busy machine may take longer to start one than it may wait."""
        try:
            while len(self.ready) < self._most and self._limits is not None:
                await self._add(self._limits)
        except SandboxError as error:
            log.warning("no sandbox could be kept ready", reason=str(error))
        except Exception as fault:
            log.error("no sandbox could be kept ready", exc_info=fault)
        loop = asyncio.get_running_loop()
        self._idle = loop.call_later(self._idle_seconds, self._give_up_later)

    async def _add(self, limits: Limits) -> None:
        self._count += 1
        sandbox = await self._driver.start(Wanted(name=f"warm_{self._count}", limits=limits))
        try:
            await sandbox.execute("", _START_SECONDS)
        except BaseException:
            await sandbox.close()
            raise
        if limits == self._limits:
            self.ready.append(sandbox)
        else:
            await sandbox.close()

    async def _give_up(self) -> None:
        sandboxes, self.ready = self.ready, []
        for sandbox in sandboxes:
            with contextlib.suppress(SandboxError):
                await sandbox.close()
