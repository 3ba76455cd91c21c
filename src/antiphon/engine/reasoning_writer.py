"""The reasoning of one turn of the model, written as items."""

from collections.abc import Callable

from msgspec import Struct

from antiphon.context.thought import Source, Thought
from antiphon.context.transcript import BLANK_LINE
from antiphon.model import Opaque
from antiphon.model.opaque import joined
from antiphon.protocol.items import Reasoning
from antiphon.protocol.request import Summary
from antiphon.protocol.wire import JsonObject
from antiphon.stream.items import OpenReasoning
from antiphon.stream.machine import Machine


class Seals(Struct, frozen=True):
    """What is sealed into reasoning items: their text where the client asked for that, and always what the
    model's server wants back."""

    seal: Callable[[Thought], str]
    unasked: Callable[[], None]
    """Called when something is sealed that the client did not ask for."""
    asked: bool = False
    source: Callable[[], Source] = lambda: ("", "")
    """Who answers, as far as is known by now."""

    def sealed(self, text: str, opaque: Opaque) -> str | None:
        """None: nothing need be."""
        if opaque and not self.asked:
            self.unasked()
        if opaque or (self.asked and text):
            return self.seal(Thought(text, opaque, self.source()))
        return None


_UNSEALED = Seals(lambda thought: thought.text, lambda: None)


class ReasoningWriter:
    """Writes one item after another. `seals` says what is sealed into them, `summary` whether the client
    asked for one: a detailed summary is the reasoning itself, word for word; any other comes among the
    deltas.

    What goes back as it came is sealed into the item that is open. What comes when none is open waits for the
    next one, and is written as an item of its own when the turn goes on without: `settle`."""

    def __init__(self, machine: Machine, seals: Seals = _UNSEALED, summary: Summary | None = None) -> None:
        self._machine = machine
        self._seals = seals
        self._summary = summary
        self._item: OpenReasoning | None = None
        self._texts: list[str] = []
        """Of all items."""
        self._begin = 0
        """Where those of the open item begin."""
        self._part = 0
        """The part of the summary that is written."""
        self._message: list[JsonObject] = []
        """Pieces of members of the message that were not sealed yet."""
        self._calls: dict[str, JsonObject] = {}
        """The same of calls."""
        self._sealed = Opaque()

    @property
    def is_open(self) -> bool:
        return self._item is not None

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._texts)

    def write(self, text: str) -> None:
        """A piece of the reasoning. Nothing else may be open."""
        item = self._opened()
        self._texts.append(text)
        if self._summary is None:
            item.text(text)
        elif self._summary == "detailed":
            item.summary(text)

    def summarize(self, text: str, part: int) -> None:
        """A piece of a part of its summary. Nothing else may be open."""
        item = self._opened()
        if part != self._part:
            item.end()
            self._part = part
        item.summary(text)

    @property
    def opaque(self) -> Opaque | None:
        """What goes back as it came, all of it."""
        whole = self._sealed.plus(self._gathered()) if self._message or self._calls else self._sealed
        return whole or None

    def keep(self, members: JsonObject) -> None:
        """Members of the message that go back as they came."""
        self._message.append(members)

    def keep_of_call(self, call_id: str, members: JsonObject) -> None:
        """Members of a call."""
        self._calls[call_id] = joined((self._calls.get(call_id, {}), members))

    def close(self) -> None:
        """Close the item that is open, if any, as completed."""
        if self._item is None:
            return
        opaque = self._gathered()
        self._item.encrypted_content = self._seals.sealed("".join(self._texts[self._begin :]), opaque)
        self._sealed = self._sealed.plus(opaque)
        self._message, self._calls = [], {}
        self._item.close()
        self._item = None

    def settle(self) -> None:
        """The same; what waits gets an item. Nothing else may be open."""
        if self._message or self._calls:
            self._opened()
        self.close()

    def _gathered(self) -> Opaque:
        return Opaque(joined(self._message), self._calls)

    def _opened(self) -> OpenReasoning:
        if self._item is None:
            if self._texts:
                self._texts.append(BLANK_LINE)
            self._begin, self._part = len(self._texts), 0
            item = Reasoning(id=self._machine.new_id("reasoning"), summary=())
            self._item = self._machine.open(OpenReasoning, item)
        return self._item
