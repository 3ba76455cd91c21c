"""How many turns a backend is asked for at once, and who is next.

A server of models does a few things at once well, and many at once badly. What is beyond that waits here:
those of the tier `priority` first, those of `flex` last, and within a tier the projects take turns, so that a
thousand turns of one keep nobody else waiting.
"""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, NamedTuple

from antiphon.protocol.errors import Unavailable

Tier = Literal["priority", "default", "flex"]
TIERS: tuple[Tier, ...] = ("priority", "default", "flex")
"""In their order."""

_TIERS: dict[str | None, Tier] = {
    "priority": "priority",
    "fast": "priority",
    "ultrafast": "priority",
    "flex": "flex",
}

WAIT_SECONDS = 60.0
"""How long a turn waits whose client waits too."""
_RETRY_SECONDS = 5.0


def tier_of(asked: str | None) -> Tier:
    """What a request's `service_tier` is here."""
    return _TIERS.get(asked, "default")


class Place(NamedTuple):
    """Who asks."""

    project: str
    tier: Tier = "default"
    patience: float | None = WAIT_SECONDS
    """Seconds; None: any time, as nobody waits."""


class Gate:
    """Lets `most` in at once."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: dict[Tier, OrderedDict[str, deque[asyncio.Future[None]]]] = {
            tier: OrderedDict() for tier in TIERS
        }

    @asynccontextmanager
    async def entered(self, place: Place) -> AsyncIterator[None]:
        """In the block a turn may be asked for. Raises Unavailable when it would take too long."""
        await self._enter(place)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, place: Place) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[place.tier].setdefault(place.project, deque()).append(turn)
        try:
            async with asyncio.timeout(place.patience):
                await turn
        except BaseException as fault:
            if turn.done() and not turn.cancelled():  # it came in this very moment
                self._leave()
            turn.cancel()
            if isinstance(fault, TimeoutError):
                raise _crowded() from None
            raise

    def _leave(self) -> None:
        turn = self._next()
        if turn is None:
            self._free += 1
        else:
            turn.set_result(None)

    def _next(self) -> asyncio.Future[None] | None:
        """The one who waits and is next, if he still does."""
        for projects in self._waiting.values():
            while projects:
                project, turns = projects.popitem(last=False)
                turn = turns.popleft()
                if turns:
                    projects[project] = turns  # behind the others
                if not turn.done():
                    return turn
        return None


def _crowded() -> Unavailable:
    return Unavailable(
        "The model's server has as much to do as it may (max_concurrency), and others wait too. Please try "
        "again in a moment.",
        code="server_overloaded",
        retry_after=_RETRY_SECONDS,
    )
