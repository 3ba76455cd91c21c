"""What took its time while a response was made: its items, and the calls that this server ran."""

import time
from operator import attrgetter
from typing import Final

from msgspec import field

from antiphon.backends import tape
from antiphon.backends.tape import Tape
from antiphon.protocol.item import Item, item_type
from antiphon.store.recordings import Mark
from antiphon.tools.base import ServerCall

MARKS: Final = 1000
"""Of one response."""

_BEGAN = attrgetter("at")


class TimedTape(Tape, kw_only=True):
    """A tape with the times of a response: noted while it is made."""

    items: dict[int, Mark] = field(default_factory=dict)
    """By their places in the output."""
    called: list[Mark] = field(default_factory=list)

    def watch(self, output_index: int, item: Item) -> None:
        """An item was added, or is done."""
        now, begun = time.time(), self.items.get(output_index)
        if begun is not None:
            spent = _milliseconds(now - begun.at)
            self.items[output_index] = Mark("item", begun.name, begun.id, begun.at, spent)
        elif len(self.items) < MARKS:
            self.items[output_index] = Mark("item", item_type(item), item.id or "", now)

    def ran(self, call: ServerCall, begun: float, ended: float, outcome: str) -> None:
        """A call ran from here to there, by the clock of `time.perf_counter`."""
        if len(self.called) < MARKS:
            at = time.time() - time.perf_counter() + begun
            self.called.append(Mark("tool", call.name, call.id, at, _milliseconds(ended - begun), outcome))

    def release(self) -> None:
        super().release()
        self.items, self.called = {}, []

    @property
    def marks(self) -> tuple[Mark, ...]:
        """In the order in which they began."""
        return tuple(sorted((*self.items.values(), *self.called), key=_BEGAN))


def current() -> TimedTape | None:
    """That of the response which this task makes; None: it is not recorded."""
    found = tape.current.get()
    return found if isinstance(found, TimedTape) else None


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))
