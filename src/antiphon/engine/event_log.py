"""The log of a response while it is made, checked as it grows if the configuration says so."""

from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from antiphon.protocol.delta_runs import Emitted, single
from antiphon.protocol.events import Event
from antiphon.protocol.wire import encode
from antiphon.stream.fold import BrokenLog, Fold
from antiphon.stream.machine import Machine


class EventLog(Struct, eq=False):
    """What a machine emits. With a fold of what it emitted before, each event is folded when drained."""

    machine: Machine
    _fold: Fold | None
    watches: list[Callable[[Sequence[Emitted]], None]] = []
    """Called with what is drained."""

    def drain(self) -> Sequence[Emitted]:
        """The events since the last time. Raises BrokenLog at the first that does not hold."""
        events = self.machine.drain()
        if self._fold is not None:
            self._check(self._fold, single(events))
        for watch in self.watches:
            watch(events)
        return events

    def _check(self, fold: Fold, events: Sequence[Event]) -> None:
        for event in events:
            fold.add(msgspec.json.decode(encode(event)))
        if self.machine.ended and encode(fold.result()) != encode(self.machine.snapshot()):
            raise BrokenLog("The log does not fold to the response.")
