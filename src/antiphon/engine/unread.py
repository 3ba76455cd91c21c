"""The emission of a response that nobody reads while it is made. Its log grows all the same."""

from antiphon.engine.emission import Emission, discard
from antiphon.engine.event_log import EventLog


class Unread(Emission):
    """Nobody is waited for."""

    def __init__(self, events: EventLog) -> None:
        super().__init__(events, discard)

    async def flush(self) -> None:
        self.opened = True
        self._drain()

    async def taken(self) -> None:
        """At once, whatever `flush` has drained meanwhile."""
