"""Responses that are made in this process, so that others can watch: of one whose client waits nothing is in
the store until it ends, and of one that nobody streams there is only what a crash must not forget.

It costs next to nothing until somebody watches.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from msgspec import Struct

from antiphon.engine.event_log import EventLog
from antiphon.engine.prepare.plan import Plan
from antiphon.protocol.delta_runs import Emitted, single
from antiphon.protocol.events import Event
from antiphon.protocol.response import Response

_WAITING = 10_000
"""Batches that a reader may leave unread, before he is let go of."""


class FellBehind(Exception):
    """Too much is unread: who still wants to watch begins anew."""


class Made(Struct, frozen=True, eq=False):
    """A response while it is made."""

    plan: Plan
    log: EventLog


class Making:
    """Those that are made in this process, and are kept when they end."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], Made] = {}
        self.awaited = 0
        """How many there are that clients wait for, also of those that cannot be watched."""

    def get(self, project: str, response_id: str) -> Made | None:
        return self._made.get((project, response_id))

    def of(self, project: str) -> list[Response]:
        """As they stand, the newest first."""
        mine = [made for (owner, _), made in self._made.items() if owner == project]
        return [made.log.machine.snapshot() for made in reversed(mine)]

    def begin(self, plan: Plan, log: EventLog) -> None:
        """From now on it can be watched, unless nothing of it is to be kept; `end` it in any case."""
        if plan.request.store is not False:
            self._made[plan.project, log.machine.id] = Made(plan, log)
        self.awaited += not plan.request.background

    def end(self, plan: Plan, log: EventLog) -> None:
        self.awaited -= not plan.request.background
        self._made.pop((plan.project, log.machine.id), None)


class Watch:
    """What a log says from now on."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._from = log.machine.next_number
        self._unread: list[Emitted] = []
        self._came = asyncio.Event()

    @contextmanager
    def attached(self) -> Iterator[None]:
        self._log.watches.append(self._take)
        try:
            yield
        finally:
            self._log.watches.remove(self._take)

    async def events(self, seconds: float) -> Sequence[Event]:
        """What came; nothing after so many seconds. Raises FellBehind."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._came.wait()
        self._came.clear()
        unread, self._unread = self._unread, []
        if len(unread) > _WAITING:
            raise FellBehind
        return [event for event in single(unread) if event.sequence_number >= self._from]

    def _take(self, events: Sequence[Emitted]) -> None:
        if len(self._unread) <= _WAITING:
            self._unread += events
        self._came.set()
