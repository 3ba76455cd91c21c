"""Going on with a log whose writer died: the machine that continues it.

The log is folded, so that everything it says is known again. An item that was still open will not be finished
by anybody: it is closed as its kind says of one that was cut, by the shortest way that the table leaves,
with what its events have built. Then the machine goes on with the next sequence number, as if it had never
stopped.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import NamedTuple

import msgspec

from antiphon.protocol.items import decode_stored
from antiphon.protocol.response import Response
from antiphon.protocol.wire import encode
from antiphon.stream import table
from antiphon.stream.built_item import BuiltItem, Json
from antiphon.stream.fold import Fold
from antiphon.stream.kinds import ItemKind, kind_named
from antiphon.stream.machine import Machine
from antiphon.stream.steps import Step

_STOPPED = "The server stopped"


class Resumed(NamedTuple):
    machine: Machine
    fold: Fold
    """What the log says so far; without what the machine has just emitted for open items."""


def resume(log: Iterable[Json], new_id: Callable[[str], str]) -> Resumed:
    """The machine that continues a log. What it emits for items that were open is there to be drained.
    Raises BrokenLog."""
    fold, speaks = Fold(), False
    for event in log:
        fold.add(event)
        speaks = speaks or event["type"].startswith("response.audio.")
    response = msgspec.convert(fold.response, Response)
    items = [decode_stored(encode(item)) if item is not None else None for item in fold.done]
    machine = Machine.resumed(response, new_id, fold.state, fold.next, items, speaks=speaks)
    for index, done in enumerate(fold.done):
        if done is None:
            _give_up(machine, fold.items[index], fold.kinds[index], index)
    return Resumed(machine, fold)


def _give_up(machine: Machine, item: BuiltItem, kind: ItemKind, index: int) -> None:
    built = item.json
    handle = machine.reopen(index, decode_stored(encode(built)), item.state)
    for step in way_out(kind.type, item.state):
        assert step.make is not None, f"nothing makes {step.row}"
        handle.emit(step.make(built, handle.place))
    handle.finish(decode_stored(encode(built | dict(kind.cut(_STOPPED)))))


@cache
def way_out(item_type: str, state: table.State) -> Sequence[Step]:
    """The fewest events, before `output_item.done`, that lead from this state to one in which an item of this
    type may be closed."""
    kind = kind_named(item_type)
    ways: deque[tuple[table.State, tuple[Step, ...]]] = deque([(state, ())])
    while True:
        here, way = ways.popleft()
        if here in kind.closes:
            return way
        ways.extend((step.after, (*way, step)) for step in kind.steps if step.before == here)
