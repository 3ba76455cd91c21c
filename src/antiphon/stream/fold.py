"""Folding a log gives the response: `fold(events) == the JSON answer == GET`.

The fold knows only what a client could know: the JSON of the events. It builds every item from the
small events alone (added, deltas, annotations) and holds what it built against each snapshot that the
log carries, byte for byte. It goes by the same rows as the machine, and shares nothing else with
it. It serves those who check a log, and those who must continue one (a resumed run).
"""

from collections.abc import Iterable

from antiphon.stream import table
from antiphon.stream.built_item import BrokenLog, BuiltItem, Json, expect, member_at
from antiphon.stream.kinds import ItemKind, kind_named
from antiphon.stream.table import State

__all__ = ["BrokenLog", "Fold", "fold"]

_IDENTITY = ("id", "type", "call_id", "name", "namespace", "server_label", "role", "agent")
_ECHOES_THAT_CHANGE = frozenset(
    {
        "status",
        "completed_at",
        "error",
        "incomplete_details",
        "model",
        "moderation",
        "output",
        "service_tier",
        "tool_usage",
        "tools",
        "usage",
    }
)


class Fold:
    """A response, folded event by event."""

    def __init__(self) -> None:
        self.response: Json = {}
        self.items: list[BuiltItem] = []
        self.kinds: list[ItemKind] = []
        self.done: list[Json | None] = []
        self.next = 0
        self.state: State = table.NEW

    def add(self, event: Json) -> None:
        """Take the next event. Raises BrokenLog."""
        name = event["type"]
        expect(event["sequence_number"], self.next, f"{name}: sequence_number")
        self.next += 1
        try:
            self._add(name, event)
        except table.IllegalTransition as fault:
            raise BrokenLog(str(fault)) from fault

    def _add(self, name: str, event: Json) -> None:
        if "response" in event:
            self.state = table.step(table.RESPONSE, self.state, name)
            self._snapshot(name, event["response"])
        elif name == "error" or name.startswith(("response.audio.", "response.steer.", "response.inject.")):
            self.state = table.step(table.RESPONSE, self.state, name)
        elif name == "response.output_item.added":
            self.state = table.step(table.RESPONSE, self.state, name)
            self._added(event)
        else:
            self._item_event(name, event)

    def _added(self, event: Json) -> None:
        expect(event["output_index"], len(self.items), "item added: output_index")
        self.kinds.append(_kind(event["item"]))
        self.items.append(BuiltItem(event["item"]))
        self.done.append(None)

    def _item_event(self, name: str, event: Json) -> None:
        index = event["output_index"]
        if self.state != table.RUNNING or index >= len(self.items):
            raise BrokenLog(f"{name} speaks of item {index}, which is not there")
        item, kind = self.items[index], self.kinds[index]
        item.state = table.step(kind.rows, item.state, _row(name, event))
        if name == "response.output_item.done":
            self.done[index] = _finished(item, event["item"])
            return
        if "item_id" in event:
            expect(event["item_id"], item.id, f"{name}: item_id")
        kind.builds[name](item, event)

    def _snapshot(self, name: str, response: Json) -> None:
        before, self.response = self.response, response
        for member in (before.keys() | response.keys()) - _ECHOES_THAT_CHANGE if before else ():
            expect(response.get(member), before.get(member), f"{name}: {member}")
        if name not in table.TERMINAL_EVENTS:
            expect(response["output"], [], f"{name}: output")
            return
        if None in self.done:
            raise BrokenLog(f"{name} while item {self.done.index(None)} is open")
        expect(response["output"], self.done, f"{name}: output")

    def result(self) -> Json:
        """The response as the log gives it: with all items that are done."""
        return {**self.response, "output": [item for item in self.done if item is not None]}


def fold(events: Iterable[Json]) -> Json:
    """The response that a log gives, as JSON. Raises BrokenLog."""
    folded = Fold()
    for event in events:
        folded.add(event)
    return folded.result()


def _kind(item: Json) -> ItemKind:
    try:
        return kind_named(item["type"])
    except KeyError:
        raise BrokenLog(f"No response has items of the type {item.get('type')!r}") from None


def _row(name: str, event: Json) -> str:
    return f"{name}:{event['part']['type']}" if name == "response.content_part.added" else name


def _finished(item: BuiltItem, done: Json) -> Json:
    """The finished item, once it agrees with all that events have built of it."""
    built = item.json
    for member in _IDENTITY:
        expect(done.get(member), built.get(member), f"item done: {member}")
    for path in item.built:
        expect(member_at(done, path), member_at(built, path), f"item done: {'.'.join(path)}")
    return done
