"""What took its time while a response was made: its items, and the calls that this server ran."""

import time
from typing import Final, TypeAlias

from msgspec import field

from antiphon.backends import tape
from antiphon.backends.tape import Tape
from antiphon.protocol.item import Item, item_type
from antiphon.store.recordings import Mark
from antiphon.tools.base import ServerCall

MARKS: Final = 1000
"""Of one response."""

_Seen: TypeAlias = tuple[float, int, str, str]
"""When an item was added or done (seconds since the epoch), its place in the output, its type, its id."""


class TimedTape(Tape, kw_only=True):
    """A tape with the times of a response: noted while it is made, put together when it has ended."""

    seen: list[_Seen] = field(default_factory=list)
    called: list[Mark] = field(default_factory=list)

    def watch(self, output_index: int, item: Item) -> None:
        """An item was added, or is done."""
        if len(self.seen) < 2 * MARKS:
            self.seen.append((time.time(), output_index, item_type(item), item.id or ""))

    def ran(self, call: ServerCall, begun: float, ended: float, outcome: str) -> None:
        """A call ran from here to there, by the clock of `time.perf_counter`."""
        if len(self.called) < MARKS:
            at = time.time() - time.perf_counter() + begun
            self.called.append(Mark("tool", call.name, call.id, at, _milliseconds(ended - begun), outcome))

    def release(self) -> None:
        super().release()
        self.seen, self.called = [], []

    @property
    def marks(self) -> tuple[Mark, ...]:
        """In the order in which they began."""
        items: dict[int, Mark] = {}
        for at, place, kind, item_id in self.seen:
            begun = items.get(place)
            if begun is None:
                items[place] = Mark("item", kind, item_id, at)
            else:
                items[place] = Mark("item", kind, item_id, begun.at, _milliseconds(at - begun.at))
        return tuple(sorted((*items.values(), *self.called), key=lambda mark: mark.at))


def current() -> TimedTape | None:
    """That of the response which this task makes; None: it is not recorded."""
    found = tape.current.get()
    return found if isinstance(found, TimedTape) else None


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))
