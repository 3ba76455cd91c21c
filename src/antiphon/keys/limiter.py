"""The meters of a process: one for each key that has limits and is used."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from antiphon.keys.meter import IDLE_SECONDS, Meter, settle
from antiphon.store.allowances import LEASE, Allowances
from antiphon.store.keys import KeyLimits, KeyUse

log = structlog.get_logger()

_FORGOTTEN = 300.0
"""Seconds after which a meter goes that nobody uses."""


class Limiter:
    """`owner`: the name of this process."""

    def __init__(self, allowances: Allowances, owner: str) -> None:
        self._allowances = allowances
        self._owner = owner
        self._meters: dict[str, Meter] = {}

    def meter(self, digest: str, limits: KeyLimits) -> Meter | None:
        """That of a key; None: it has no limits that are counted."""
        if limits == KeyLimits(models=limits.models, budget_window=limits.budget_window):
            return None
        found = self._meters.get(digest)
        if found is None:
            found = self._meters[digest] = Meter(digest, limits, self._allowances, self._owner)
        found.limit(limits)
        return found

    def settle(self, use: KeyUse, tokens: int) -> None:
        """A response of the background has ended, wherever it was accepted."""
        settle(self._allowances, use, tokens)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """What is not used is given back while the block runs, and all of it when it is left."""
        task = asyncio.create_task(self._keep())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            for meter in self._meters.values():
                meter.give_back()

    async def _keep(self) -> None:
        """Slots are renewed, and what lies unused goes back."""
        slept = 0.0
        while True:
            await asyncio.sleep(IDLE_SECONDS)
            slept += IDLE_SECONDS
            for digest, meter in list(self._meters.items()):
                if meter.idle > IDLE_SECONDS:
                    meter.give_back()
                if meter.idle > _FORGOTTEN:
                    del self._meters[digest]
            if slept >= LEASE / 3:
                slept = 0.0
                await self._renew()

    async def _renew(self) -> None:
        if any(meter.running and meter.limits.concurrency for meter in self._meters.values()):
            try:
                await self._allowances.renew(self._owner)
            except Exception:  # the store is away: the next time
                log.warning("slots of keys could not be renewed", exc_info=True)
