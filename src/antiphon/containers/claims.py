"""The containers that this process uses, as other processes see it."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from antiphon.store.containers import Claim, Containers
from antiphon.store.errors import ContainerBusy

LEASE_SECONDS = 10.0
"""After which a container is free whose process died while it used it."""
RENEW_SECONDS = 2.5
_LOOK_SECONDS = 0.25
"""How often somebody who waits for another process looks."""


class Claims:
    def __init__(self, containers: Containers) -> None:
        self._containers = containers
        self.home = secrets.token_hex(8)
        """The name of this process."""
        self._used: Counter[int] = Counter()

    async def claim(self, project: str, container_id: str, wait_seconds: float) -> Claim | None:
        """The container is this process's until it is left as often as it was claimed. Raises
        ExpiredContainer; ContainerBusy when another process has it for so long."""
        give_up = asyncio.get_running_loop().time() + wait_seconds
        while True:
            try:
                claim = await self._containers.claim(project, container_id, self.home, LEASE_SECONDS)
            except ContainerBusy:
                if asyncio.get_running_loop().time() > give_up:
                    raise
                await asyncio.sleep(_LOOK_SECONDS)
                continue
            if claim is not None:
                self._used[claim.key] += 1
            return claim

    async def elsewhere(self, project: str, container_id: str) -> str | None:
        """The process that was the last to claim a container, if it was another one."""
        home = await self._containers.home(project, container_id)
        return home if home not in (None, "", self.home) else None

    @asynccontextmanager
    async def left_after(self, claim: Claim) -> AsyncIterator[None]:
        """It is left when the block is."""
        try:
            yield
        finally:
            self._used[claim.key] -= 1
            if not self._used[claim.key]:
                del self._used[claim.key]
                await self._containers.release(claim.key, self.home)

    async def renew(self) -> None:
        """Everything that is used is used still."""
        if self._used:
            await self._containers.renew(list(self._used), self.home, LEASE_SECONDS)

    async def lost(self, keys: Sequence[int]) -> set[int]:
        """Those of the containers that are not this process's any more: used elsewhere, deleted, or
        expired."""
        return set(keys) - set(await self._containers.at_home(keys, self.home)) if keys else set()
