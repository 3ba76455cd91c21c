"""What took its time while a response was made: its items, and the calls that this server ran."""

import time
from itertools import starmap
from operator import attrgetter
from typing import Final

from antiphon.backends import tape
from antiphon.backends.tape import Room, Tape
from antiphon.protocol.item import Item, item_type
from antiphon.store.recordings import Mark
from antiphon.tools.base import ServerCall

MARKS: Final = 1000
"""Of one response."""

_BEGAN = attrgetter("at")


class TimedTape(Tape):
    """A tape with the times of a response: noted while it is made."""

    def __init__(self, room: Room, *, keeps: bool) -> None:
        super().__init__(room, keeps=keeps)
        self._items: dict[int, tuple[Item, float, float | None]] = {}
        """When they began and ended, by their places in the output."""
        self._called: list[Mark] = []

    def watch(self, output_index: int, item: Item) -> None:
        """An item was added, or is done."""
        begun = self._items.get(output_index)
        if begun is not None:
            self._items[output_index] = (begun[0], begun[1], time.time())
        elif len(self._items) < MARKS:
            self._items[output_index] = (item, time.time(), None)

    def ran(self, call: ServerCall, begun: float, ended: float, outcome: str) -> None:
        """A call ran from here to there, by the clock of `time.perf_counter`."""
        if len(self._called) < MARKS:
            at = time.time() - time.perf_counter() + begun
            self._called.append(Mark("tool", call.name, call.id, at, _milliseconds(ended - begun), outcome))

    def release(self) -> None:
        super().release()
        self._items, self._called = {}, []

    @property
    def marks(self) -> tuple[Mark, ...]:
        """In the order in which they began."""
        return tuple(sorted((*starmap(_mark, self._items.values()), *self._called), key=_BEGAN))


def _mark(item: Item, began: float, ended: float | None) -> Mark:
    spent = None if ended is None else _milliseconds(ended - began)
    return Mark("item", item_type(item), item.id or "", began, spent)


def current() -> TimedTape | None:
    """That of the response which this task makes; None: it is not recorded."""
    found = tape.current.get()
    return found if isinstance(found, TimedTape) else None


def _milliseconds(seconds: float) -> int:
    return max(0, round(seconds * 1000))
