"""The emission of a response that nobody reads while it is made. Its log grows all the same."""

from antiphon.engine.emission import Emission
from antiphon.engine.event_log import EventLog
from antiphon.protocol.projection import Projection


class Unread(Emission):
    """Nobody is waited for, no clock hands over, and nothing has to be hidden. So of all that an emission
    has it needs the log alone."""

    pours = False

    def __init__(self, events: EventLog) -> None:
        self.opened = False
        self._drain = events.drain

    def watch(self, grace: float | None, keep_alive: float | None) -> None:
        """Nobody waits for a sign of life."""

    def hide(self, shows: Projection) -> None:
        """Nobody sees it."""

    async def flush(self) -> None:
        self.opened = True
        self._drain()

    def nudge(self) -> None:
        """What is emitted is drained with what comes next."""

    async def taken(self) -> None:
        """At once, whatever `flush` has drained meanwhile."""

    async def __aexit__(self, *_: object) -> None:
        """Nobody waits, and nothing goes on."""
