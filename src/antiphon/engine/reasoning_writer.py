"""The reasoning of one turn of the model, written as items."""

from collections.abc import Callable

from antiphon.context.transcript import BLANK_LINE
from antiphon.protocol.items import Reasoning
from antiphon.protocol.request import Summary
from antiphon.stream.items import OpenReasoning
from antiphon.stream.machine import Machine


class ReasoningWriter:
    """Writes one item after another. `seal` is given when the client asked for sealed reasoning, `summary`
    when it asked for one: a detailed summary is the reasoning itself, word for word; any other comes among
    the deltas."""

    def __init__(self, machine: Machine, seal: Callable[[str], str] | None, summary: Summary | None) -> None:
        self._machine = machine
        self._seal = seal
        self._summary = summary
        self._item: OpenReasoning | None = None
        self._texts: list[str] = []
        """Of all items."""
        self._begin = 0
        """Where those of the open item begin."""
        self._part = 0
        """The part of the summary that is written."""

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

    def close(self) -> None:
        """Close the item that is open, if any, as completed."""
        if self._item is None:
            return
        text = "".join(self._texts[self._begin :]) if self._seal is not None else ""
        if self._seal is not None and text:
            self._item.encrypted_content = self._seal(text)
        self._item.close()
        self._item = None

    def _opened(self) -> OpenReasoning:
        if self._item is None:
            if self._texts:
                self._texts.append(BLANK_LINE)
            self._begin, self._part = len(self._texts), 0
            item = Reasoning(id=self._machine.new_id("reasoning"), summary=())
            self._item = self._machine.open(OpenReasoning, item)
        return self._item
