"""The meters of a process: one for each key that has limits and is used."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from fnmatch import fnmatchcase

import structlog
from msgspec.structs import replace

from antiphon.keys.meter import Meter
from antiphon.keys.places import Places
from antiphon.keys.purse import HELD_SECONDS
from antiphon.protocol.errors import PermissionDenied
from antiphon.store.key_places import LEASE
from antiphon.store.keys import KeyLimits, KeyUse
from antiphon.store.store import Store

log = structlog.get_logger()

_UNCOUNTED = ("models", "service_tiers", "budget_window")
_FORGOTTEN = 300.0
"""Seconds after which a meter goes that nobody uses."""


class Limiter:
    """`owner`: the name of this process."""

    def __init__(self, store: Store, owner: str) -> None:
        self._allowances = store.allowances
        self._places = store.key_places
        self._owner = owner
        self._meters: dict[str, Meter] = {}

    def meter(self, use: KeyUse) -> Meter | None:
        """That of a key; None: it has no limits that are counted."""
        limits = use.limits
        if limits == replace(KeyLimits(), **{name: getattr(limits, name) for name in _UNCOUNTED}):
            return None
        found = self._meters.get(use.digest)
        if found is None:
            places = Places(self._places, use.digest, self._owner)
            found = self._meters[use.digest] = Meter(use, self._allowances, places)
        found.limit(use)
        return found

    def settle(self, use: KeyUse, tokens: int) -> None:
        """A response of this process has ended."""
        meter = self._meters.get(use.digest)
        if meter is not None and not use.settled:
            use.settled = True
            meter.settle(use, tokens)

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
                await meter.places.close()

    async def _keep(self) -> None:
        """Places are renewed, and what lies unused goes back."""
        slept = 0.0
        while True:
            await asyncio.sleep(HELD_SECONDS)
            slept += HELD_SECONDS
            for digest, meter in list(self._meters.items()):
                meter.give_back_stale()
                if meter.idle > _FORGOTTEN:
                    del self._meters[digest]
            if slept >= LEASE / 3:
                slept = 0.0
                await self._renew()

    async def _renew(self) -> None:
        if any(meter.places.any_held for meter in self._meters.values()):
            try:
                await self._places.renew(self._owner)
            except Exception as error:  # noqa: BLE001 (the store is away: the next time)
                log.warning("places of keys could not be renewed", error=str(error))


def allows(limits: KeyLimits, model: str) -> bool:
    """Whether a key may use the model, as requests name it."""
    return not limits.models or any(fnmatchcase(model, pattern) for pattern in limits.models)


def check_model(use: KeyUse, model: str) -> None:
    """Raises PermissionDenied, as the real API does where a project's models are limited."""
    if not allows(use.limits, model):
        raise PermissionDenied(
            f"API key '{use.name}' does not have access to model '{model[:256]}' (its models).",
            param="model",
            code="model_not_found",
        )
