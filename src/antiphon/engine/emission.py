"""The events of a run, on their way to whoever reads them: one batch after another, in order.

A reader that is slow makes the run slow: nothing is gathered for it beyond the batch that it takes. Beside
the run only a clock hands over: the opening events when the model lets its first byte wait, and a sign of
life in a long silence. It never does so while a batch is on its way, nor once the response has ended, since
the last events wait until the response is durable.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Self, TypeVar

from antiphon.engine.event_log import EventLog
from antiphon.protocol.delta_runs import Emitted
from antiphon.protocol.projection import Projection

T = TypeVar("T")

FIRST_BYTE_GRACE = 2.0
"""Seconds that the upstream has to refuse a turn before the opening events are emitted."""

Emit = Callable[[Sequence[Emitted]], Awaitable[None]]
"""Takes a batch of events. Returns when there may be more of them."""
AtOnce = Callable[[Sequence[Emitted]], bool]
"""Takes a batch of events that nobody waits for. False: they have to be, since the reader is slow, or has
nothing yet: they come again, first of all, unless the run ends before. A reader that keeps them all the same
knows them by their numbers."""
Flush = Callable[[], Awaitable[None]]
"""Hands over what has been emitted since the last time; returns when the reader has taken it."""
FlushAtOnce = Callable[[], bool]
"""The same, not waited for. False: it has to be."""


def _shown(
    shows: Projection | None, take: Callable[[Sequence[Emitted]], T]
) -> Callable[[Sequence[Emitted]], T]:
    """`take`, of the events as they are shown; itself when nothing of them may be hidden."""
    return (lambda events: take(shows.events(events))) if shows else take


class Emission:
    """Hands what `events` gives to `emit`. Its block says how long it lasts."""

    def __init__(
        self,
        events: EventLog,
        emit: Emit,
        shows: Projection | None = None,
        at_once: AtOnce | None = None,
    ) -> None:
        """`shows`: how events are shown; None: as they are, also when something is hidden later on.
        `at_once`: of a reader that need not be waited for."""
        self.opened = False
        """Whether anything was handed over: until then a fault may still become an HTTP status."""
        self._machine = events.machine
        self._drain = events.drain
        self._shows = shows
        self._plain = emit
        self._plain_at_once = at_once
        self._show(shows)
        self._left: Sequence[Emitted] = ()
        """What the reader has to be waited for."""
        self._loop = asyncio.get_running_loop()
        self._last = self._loop.time()
        self._keep_alive: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._sign: asyncio.Task[None] | None = None
        self._busy = False
        self._more = False
        """Whether something was emitted while a batch was on its way."""
        self._taken: asyncio.Event | None = None
        """Set when the next batch is with the reader: somebody waits for it."""
        self._over = False
        """Whether nothing is handed over any more."""

    def watch(self, grace: float | None, keep_alive: float | None) -> None:
        """Have the clock hand over the opening events after `grace` seconds, and `response.in_progress`
        after each `keep_alive` seconds of silence. None: never."""
        self._keep_alive = keep_alive
        self._set(grace if grace is not None else keep_alive)

    def hide(self, shows: Projection) -> None:
        """Show events so from now on: there is more to hide than was known when it began."""
        if self._shows is not None and shows is not self._shows:
            self._shows = shows
            self._show(shows)

    def _show(self, shows: Projection | None) -> None:
        at_once = self._plain_at_once
        self._emit = _shown(shows, self._plain)
        self._at_once = None if at_once is None else _shown(shows, at_once)

    def flush(self) -> Awaitable[None]:
        """Hand over what there is."""
        return self._hand_over() if self._sign is None else self._hand_over_behind(self._sign)

    async def _hand_over_behind(self, sign: asyncio.Task[None]) -> None:
        self._sign = None
        await sign
        await self._hand_over()

    @property
    def pours(self) -> bool:
        """Whether the reader is one for `flush_at_once`."""
        return self._at_once is not None

    def flush_at_once(self) -> bool:
        """Hand over what there is, without a step of the run's task. False: `flush` has to be awaited."""
        if self._at_once is None or not self.opened or self._busy or self._more or self._sign is not None:
            return False
        events = self._drain()
        if not events:
            return True  # what came means nothing to the reader, to whom this is a silence
        if not self._at_once(events):
            self._left = events
            return False
        self._last = self._loop.time()
        if self._taken is not None:
            self._taken.set()
            self._taken = None
        return True

    def nudge(self) -> None:
        """Hand over soon what was emitted beside the run."""
        if not self._idle:
            self._more = True
        elif self.opened and not self._machine.ended:
            self._sign = self._loop.create_task(self._hand_over_beside())

    async def taken(self) -> None:
        """Until the reader has what was emitted so far, or will never have it."""
        if not self._over:
            self._taken = self._taken or asyncio.Event()
            await self._taken.wait()

    async def flush_opened(self) -> None:
        """As `flush`, if anything was handed over before: until then the request can still be refused."""
        if self.opened:
            await self.flush()

    async def _hand_over(self) -> None:
        self.opened = True
        events, taken = self._drain(), self._taken
        if self._left:
            events, self._left = [*self._left, *events], ()
        if events:
            self._busy, self._taken = True, None
            try:
                await self._emit(events)
            except BaseException:
                self._end()
                raise
            finally:
                if taken is not None:
                    taken.set()
            self._busy = False
            self._last = self._loop.time()
        if self._more and not self._machine.ended:
            self._more = False
            await self._hand_over()

    async def _hand_over_beside(self) -> None:
        """Hand over beside the run. When it has ended by now, what there is comes with the end."""
        if not self._machine.ended:
            await self._hand_over()

    def _end(self) -> None:
        """Nobody needs to wait for a reader any more."""
        self._over = True
        if self._taken is not None:
            self._taken.set()

    @property
    def _idle(self) -> bool:
        """Whether nothing is being handed over."""
        return not self._busy and (self._sign is None or self._sign.done())

    def _set(self, seconds: float | None) -> None:
        self._timer = None if seconds is None else self._loop.call_later(seconds, self._on_time)

    def _on_time(self) -> None:
        """The grace or a silence may be over."""
        self._timer = None
        if self._machine.ended:
            return
        silent = self._loop.time() - self._last
        if self._idle and (not self.opened or silent >= (self._keep_alive or 0)):
            if self.opened:
                self._machine.start()
            self._sign = self._loop.create_task(self._hand_over_beside())
            silent = 0
        if self._keep_alive is not None:
            self._set(max(self._keep_alive - silent, self._keep_alive / 4))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._end()
        # A timer that is cancelled lets go of us: nothing here waits for the collector.
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._sign is not None:
            sign, self._sign = self._sign, None
            sign.cancel()
            await asyncio.wait({sign})
