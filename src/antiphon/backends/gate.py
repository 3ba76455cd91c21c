"""How many turns a backend is asked for at once, and who is next.

A server of models does a few things at once well, and many at once badly. What is beyond that waits here:
those of the tier `priority` first, those of `flex` last, and within a tier the projects take turns, so that a
thousand turns of one keep nobody else waiting.
"""

import asyncio
from typing import NamedTuple

from antiphon.guard.turns import Turns
from antiphon.protocol.errors import Unavailable
from antiphon.protocol.tiers import TIERS, Tier

WAIT_SECONDS = 60.0
"""How long a turn waits whose client waits too."""
_RETRY_SECONDS = 5.0


class Place(NamedTuple):
    """Who asks."""

    project: str
    tier: Tier = "default"
    patience: float | None = WAIT_SECONDS
    """Seconds; None: any time, as nobody waits."""


class Gate:
    """Lets `most` in at once."""

    def __init__(self, most: int) -> None:
        self._turns = Turns(most, share=most, ranks=len(TIERS))

    def entered(self, place: Place) -> "_Inside":
        """In the block a turn may be asked for. Raises Unavailable when it would take too long."""
        return _Inside(self, place)

    async def enter(self, place: Place) -> None:
        if self._turns.take_free(place.project):
            return
        try:
            async with asyncio.timeout(place.patience):
                await self._turns.take(place.project, TIERS.index(place.tier))
        except TimeoutError:
            raise _crowded() from None

    def leave(self, place: Place) -> None:
        self._turns.give_back(place.project)


class _Inside:
    """A block that goes through a gate. Each turn does: a generator of the library's would cost more than all
    else here."""

    def __init__(self, gate: Gate, place: Place) -> None:
        self._gate = gate
        self._place = place

    async def __aenter__(self) -> None:
        await self._gate.enter(self._place)

    async def __aexit__(self, *_: object) -> None:
        self._gate.leave(self._place)


def _crowded() -> Unavailable:
    return Unavailable(
        "The model's server has as much to do as it may (max_concurrency), and others wait too. Please try "
        "again in a moment.",
        code="server_overloaded",
        retry_after=_RETRY_SECONDS,
    )
