"""The places of one key for requests that are answered at once, as one process holds them."""

import asyncio

import structlog

from antiphon.keys import refusals
from antiphon.keys.late import finished
from antiphon.store.key_places import KeyPlaces

log = structlog.get_logger()

_KEPT = 0.1
"""Seconds for which a place is kept that nobody uses: the next request may come at once."""
_TRIES, _PAUSE = 8, 0.05
"""How often, and how many seconds apart, a place is looked for: another process may just let go of one."""


class Places:
    """Places are taken from the store when they are needed, and used again by whoever comes soon."""

    def __init__(self, store: KeyPlaces, digest: str, owner: str) -> None:
        self.used = 0
        self._held = 0
        self._most_used = 0
        """At once, since it was last looked at what may be given back."""
        self._store = store
        self._digest = digest
        self._owner = owner
        self._asking = asyncio.Lock()
        self._none_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._giving: set[asyncio.Task[None]] = set()

    async def enter(self, name: str, most: int | None) -> None:
        """Raises RateLimited when `most` requests are answered already; None: there may be any number."""
        for tried in range(_TRIES):
            if most is None or self.used < min(self._held, most) or await self._more(most):
                self.used += 1
                self._most_used = max(self._most_used, self.used)
                return
            if tried < _TRIES - 1:
                await asyncio.sleep(_PAUSE)
        raise refusals.busy(name, most or 0)

    def leave(self) -> None:
        """A request is answered."""
        self.used -= 1
        if self._held and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_KEPT, self._look)

    @property
    def any_held(self) -> bool:
        return self._held > 0

    async def close(self) -> None:
        """Give back what is not used."""
        self._most_used = self.used
        self._look()
        await asyncio.gather(*self._giving, return_exceptions=True)

    async def _more(self, most: int) -> bool:
        """Whether there is a free place here, now that the store was asked. One asks for all who wait."""
        loop = asyncio.get_running_loop()
        async with self._asking:
            if self.used >= self._held and loop.time() >= self._none_until:
                if await finished(self._store.take(self._digest, self._owner, most), self._late):
                    self._held += 1
                else:
                    self._none_until = loop.time() + _PAUSE
            return self.used < min(self._held, most)

    def _late(self, taken: bool) -> None:
        """A place was taken for a request that has gone away."""
        if taken:
            self._held += 1
            self._look()

    def _look(self) -> None:
        """Gives back what nobody has used since the last time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        spare = max(0, self._held - self._most_used)
        self._most_used = self.used
        self._held -= spare
        if spare:
            task = asyncio.create_task(self._give_back(spare))
            self._giving.add(task)
            task.add_done_callback(self._giving.discard)
        if self._held > self.used:
            self._timer = asyncio.get_running_loop().call_later(_KEPT, self._look)

    async def _give_back(self, spare: int) -> None:
        try:
            await self._store.give_back(self._digest, self._owner, spare)
        except Exception as error:  # noqa: BLE001 (they lapse)
            log.warning("places of a key could not be given back", error=str(error))
