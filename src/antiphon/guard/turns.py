"""Turns at something that there is little of, shared fairly between those who wait for one.

Whoever asks for much waits longer, not everybody else: of those who wait, each owner is served in rotation,
and one owner alone never has all of the turns when there is more than one.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_Waiting = OrderedDict[asyncio.Future[None], None]
"""Those of an owner, in their order."""


class Turns:
    """`count` turns at a time."""

    def __init__(self, count: int, share: int | None = None, ranks: int = 1) -> None:
        """`share`: how many one owner may have; None: all but one. `ranks`: those of one are served before
        those of the next."""
        self._free = count
        self._share = max(1, count - 1 if share is None else min(share, count))
        self._held: Counter[str] = Counter()
        self._waiting: list[OrderedDict[str, _Waiting]] = [OrderedDict() for _ in range(ranks)]
        """Those who wait, by rank and owner; the owner who is next stands first."""

    @asynccontextmanager
    async def turn(self, owner: str, rank: int = 0) -> AsyncIterator[None]:
        """A turn for the block, as soon as there is one."""
        if not self.take_free(owner):
            await self.take(owner, rank)
        try:
            yield
        finally:
            self.give_back(owner)

    def take_free(self, owner: str) -> bool:
        """Take a turn if nobody has to wait for one. Whoever has one gives it back."""
        if not self._may(owner):
            return False
        self._grant(owner)
        return True

    async def take(self, owner: str, rank: int = 0) -> None:
        """Wait for a turn when none is free. Whoever has one gives it back."""
        granted = asyncio.get_running_loop().create_future()
        self._waiting[rank].setdefault(owner, OrderedDict())[granted] = None
        try:
            await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                self._forget(owner, rank, granted)
            else:
                self.give_back(owner)
            raise

    def _may(self, owner: str) -> bool:
        if self._free <= 0 or self._held[owner] >= self._share:
            return False
        return not any(self._waiting) or all(owner not in owners for owners in self._waiting)

    def _grant(self, owner: str) -> None:
        self._free -= 1
        self._held[owner] += 1

    def give_back(self, owner: str) -> None:
        """A turn that was taken is over."""
        self._free += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        if any(self._waiting):
            self._serve()

    def _serve(self) -> None:
        """Give the turns that are free to those whose rotation it is."""
        for owners in self._waiting:
            for owner in list(owners):
                if not self._free:
                    return
                if self._held[owner] < self._share and (granted := _next(owners, owner)) is not None:
                    self._grant(owner)
                    granted.set_result(None)

    def _forget(self, owner: str, rank: int, granted: asyncio.Future[None]) -> None:
        """Who has left leaves nothing behind, however long the others wait."""
        waiting = self._waiting[rank].get(owner, OrderedDict())
        if granted in waiting:
            del waiting[granted]
            if not waiting:
                del self._waiting[rank][owner]


def _next(owners: OrderedDict[str, _Waiting], owner: str) -> asyncio.Future[None] | None:
    """Who is next of an owner, who stands behind the others now."""
    waiting = owners.pop(owner)
    while waiting:
        granted, _ = waiting.popitem(last=False)
        if not granted.done():  # else its task is cancelled, and has not run since
            if waiting:
                owners[owner] = waiting
            return granted
    return None
