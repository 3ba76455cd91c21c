"""How a running call adds to the response.

Calls of a turn run all at once, and are emitted one after another: what a call emits before its turn has
come waits. Only an event behind which the call may take effect makes the call itself wait, since it must be
durable first.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec.structs import replace

from antiphon.protocol.events import ItemEvent
from antiphon.protocol.item import Item, NewId
from antiphon.stream.items import open_item
from antiphon.stream.kinds import EFFECTS
from antiphon.stream.machine import Machine, OpenItem

PassedOn = Callable[[], Awaitable[None]]
"""Returns when all that was emitted so far was handed to whoever reads it; durable, where it has to be."""


class Turn:
    """When a call may emit, and what waits until then."""

    def __init__(self, passed_on: PassedOn) -> None:
        self._passed_on = passed_on
        self._come = asyncio.Event()
        self._waiting: list[Callable[[], None]] = []

    def come(self) -> None:
        """The call's turn has come."""
        self._come.set()
        for act in self._waiting:
            act()
        self._waiting = []

    async def wait(self) -> None:
        await self._come.wait()

    async def act(self, act: Callable[[], None]) -> None:
        """Do it in its turn."""
        if not self._come.is_set():
            self._waiting.append(act)
            return
        act()
        await self._passed_on()


class Emitter:
    """Emits the events of one item."""

    def __init__(self, turn: Turn, machine: Machine, item: Callable[[], OpenItem | None]) -> None:
        self._turn = turn
        self._machine = machine
        self._item = item
        self._added: list[Emitter] = []

    @property
    def new_id(self) -> NewId:
        return self._machine.new_id

    async def turn(self) -> None:
        """Until it may emit: the calls before it have ended."""
        await self._turn.wait()

    async def __call__(self, kind: type[ItemEvent], **members: Any) -> None:
        """Emit an event of the item, with its members besides the item's place."""
        if kind in EFFECTS:
            await self._turn.wait()

        def act() -> None:
            item = self._opened()
            item.emit(kind(**item.place, **members))

        await self._turn.act(act)

    async def done(self, **members: Any) -> None:
        """The item is done, with these members besides what its events have built."""

        def act() -> None:
            item = self._opened()
            item.finish(replace(item.built(), **members))

        await self._turn.act(act)

    async def add(self, item: Item) -> "Emitter":
        """Add another item, that is not finished."""
        handles: list[OpenItem] = []
        await self._turn.act(lambda: handles.append(open_item(self._machine, item)))
        added = Emitter(self._turn, self._machine, lambda: handles[0])
        self._added.append(added)
        return added

    async def answer(self, item: Item) -> "Emitter":
        """The item is done, and answered by another one that is not finished. Both are durable when this
        returns, where they have to be: what a crash interrupts from here on shows in the answer."""
        await self._turn.wait()
        handles: list[OpenItem] = []

        def act() -> None:
            self._opened().close()
            handles.append(open_item(self._machine, item))

        await self._turn.act(act)
        added = Emitter(self._turn, self._machine, lambda: handles[0])
        self._added.append(added)
        return added

    async def give_up(self, why: str) -> None:
        """Close what the call has left open. `why`: the beginning of a sentence."""

        def act() -> None:
            item = self._item()
            if item is not None and item.is_open:
                item.cut(why)

        for added in self._added:
            await added.give_up(why)
        await self._turn.act(act)

    def _opened(self) -> OpenItem:
        item = self._item()
        assert item is not None, "the call has no item yet"
        return item
