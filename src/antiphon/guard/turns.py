"""Turns at something that there is little of, shared fairly between those who wait for one.

Whoever asks for much waits longer, not everybody else: of those who wait, each owner is served in rotation,
and one owner alone never has all of the turns when there is more than one.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_Waiting = deque[asyncio.Future[None]]


class Turns:
    """`count` turns at a time."""

    def __init__(self, count: int, share: int | None = None) -> None:
        """`share`: how many one owner may have; None: all but one."""
        self._free = count
        self._share = max(1, count - 1 if share is None else min(share, count))
        self._held: Counter[str] = Counter()
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        """Those who wait, by owner; the owner who is next stands first."""

    @asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        """A turn for the block, as soon as there is one."""
        await self._take(owner)
        try:
            yield
        finally:
            self._give_back(owner)

    async def _take(self, owner: str) -> None:
        if self._may(owner):
            self._grant(owner)
            return
        granted = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(granted)
        try:
            await granted
        except asyncio.CancelledError:
            if granted.cancelled():
                self._present(owner)
            else:
                self._give_back(owner)
            raise

    def _may(self, owner: str) -> bool:
        return self._free > 0 and self._held[owner] < self._share and not self._waiting.get(owner)

    def _grant(self, owner: str) -> None:
        self._free -= 1
        self._held[owner] += 1

    def _give_back(self, owner: str) -> None:
        self._free += 1
        self._held[owner] -= 1
        if not self._held[owner]:
            del self._held[owner]
        self._serve()

    def _serve(self) -> None:
        """Give the turns that are free to those whose rotation it is."""
        for owner in list(self._waiting):
            if self._present(owner) and self._free and self._held[owner] < self._share:
                self._grant(owner)
                waiting = self._waiting.pop(owner)
                waiting.popleft().set_result(None)
                if waiting:
                    self._waiting[owner] = waiting

    def _present(self, owner: str) -> bool:
        """Whether somebody waits. Those who have left are forgotten."""
        waiting = deque(granted for granted in self._waiting.get(owner, ()) if not granted.cancelled())
        if waiting:
            self._waiting[owner] = waiting
        else:
            self._waiting.pop(owner, None)
        return bool(waiting)
