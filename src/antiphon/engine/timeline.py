"""What took its time while a response was made: its items, and the calls that this server ran."""

import time
from contextvars import ContextVar
from typing import Final

from msgspec.structs import replace

from antiphon.protocol.item import Item, item_type
from antiphon.store.recordings import Mark
from antiphon.tools.base import ServerCall

MARKS: Final = 1000
"""Of one response."""


class Timeline:
    """Marks of a response."""

    __slots__ = "_items", "_marks"

    def __init__(self) -> None:
        self._marks: list[Mark] = []
        self._items: dict[int, int] = {}
        """Where the marks of items are, by the item's place in the output."""

    @property
    def marks(self) -> tuple[Mark, ...]:
        """In the order in which they began."""
        return tuple(sorted(self._marks, key=lambda mark: mark.at))

    def watch(self, output_index: int, item: Item) -> None:
        """An item was added, or is done."""
        at = self._items.get(output_index)
        if at is not None:
            self._marks[at] = _ended(self._marks[at])
        elif len(self._marks) < MARKS:
            self._items[output_index] = len(self._marks)
            self._marks.append(Mark("item", item_type(item), item.id or "", time.time()))

    def ran(self, call: ServerCall, begun: float, ended: float, outcome: str) -> None:
        """A call ran from here to there, by the clock of `time.perf_counter`."""
        if len(self._marks) < MARKS:
            at, milliseconds = time.time() - time.perf_counter() + begun, round((ended - begun) * 1000)
            self._marks.append(Mark("tool", call.name, call.id, at, milliseconds, outcome))


def _ended(mark: Mark) -> Mark:
    return replace(mark, milliseconds=max(0, round((time.time() - mark.at) * 1000)))


current: ContextVar[Timeline | None] = ContextVar("timeline", default=None)
"""That of the response which this task makes; None: it is not recorded."""
