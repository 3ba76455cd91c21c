"""Folding a log gives the response: `fold(events) == the JSON answer == GET`.

The fold knows only what a client could know: the JSON of the events. It builds every item from the
small events alone (added, deltas, annotations) and holds what it built against each snapshot that the
log carries, byte for byte. It steps through the same table as the machine, and shares nothing else with
it. It serves those who check a log, and those who must continue one (a resumed run).
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from antiphon.stream import table
from antiphon.stream.table import State

Json = dict[str, Any]
Path = tuple[str, ...]
"""Where a member stands in an item: its name, or the object that has it and its name."""

_IDENTITY = ("id", "type", "call_id", "name", "namespace", "server_label", "role")
_ECHOES_THAT_CHANGE = frozenset(
    {
        "status",
        "completed_at",
        "error",
        "incomplete_details",
        "model",
        "output",
        "service_tier",
        "tools",
        "usage",
    }
)


class BrokenLog(Exception):
    """A log that does not fold: an event out of order, or a snapshot that its deltas do not give."""


class ItemFold:
    """An item of the log, as its events have built it so far."""

    def __init__(self, added: Json) -> None:
        self.json: Json = dict(added)
        self.state: State = table.OPEN
        self.rows = table.rows_of(added["type"])
        self.told: set[Path] = set()
        """Members that events have built; the finished item must agree with them."""

    def listed(self, *path: str) -> list[Any]:
        """The list that events build at a place."""
        held: list[Any] = self._holder(path, [])[path[-1]]
        return held

    def append(self, path: Path, delta: str) -> None:
        """More of the text that events build at a place."""
        self._holder(path, "")[path[-1]] += delta

    def _holder(self, path: Path, empty: Any) -> Json:
        """The object that has the member. The first event that builds the member finds it empty."""
        holder = self.json
        for name in path[:-1]:
            if path not in self.told:
                holder[name] = dict(holder[name])  # what it came in is not ours to change
            holder = holder[name]
        if path not in self.told:
            holder[path[-1]] = empty
            self.told.add(path)
        return holder


class Fold:
    """A response, folded event by event."""

    def __init__(self) -> None:
        self.response: Json = {}
        self.items: list[ItemFold] = []
        self.done: list[Json | None] = []
        self.next = 0
        self.state: State = table.NEW

    def add(self, event: Json) -> None:
        """Take the next event. Raises BrokenLog."""
        kind = event["type"]
        _expect(event["sequence_number"], self.next, f"{kind}: sequence_number")
        self.next += 1
        try:
            self._add(kind, event)
        except table.IllegalTransition as fault:
            raise BrokenLog(str(fault)) from fault

    def _add(self, kind: str, event: Json) -> None:
        if "response" in event:
            self.state = table.step(table.RESPONSE, self.state, kind)
            self._snapshot(kind, event["response"])
        elif kind == "error" or kind.startswith("response.audio."):
            self.state = table.step(table.RESPONSE, self.state, kind)
        elif kind == "response.output_item.added":
            self.state = table.step(table.RESPONSE, self.state, kind)
            self._added(event)
        else:
            self._item_event(kind, event)

    def _added(self, event: Json) -> None:
        _expect(event["output_index"], len(self.items), "item added: output_index")
        self.items.append(ItemFold(event["item"]))
        self.done.append(None)

    def _item_event(self, kind: str, event: Json) -> None:
        index = event["output_index"]
        if self.state != table.RUNNING or index >= len(self.items):
            raise BrokenLog(f"{kind} speaks of item {index}, which is not there")
        item = self.items[index]
        item.state = table.step(item.rows, item.state, _row(kind, event))
        if kind == "response.output_item.done":
            self.done[index] = _finished(item, event["item"])
            return
        if "item_id" in event:
            _expect(event["item_id"], item.json["id"], f"{kind}: item_id")
        _BUILD[kind](item, event)

    def _snapshot(self, kind: str, response: Json) -> None:
        before, self.response = self.response, response
        for member in (before.keys() | response.keys()) - _ECHOES_THAT_CHANGE if before else ():
            _expect(response.get(member), before.get(member), f"{kind}: {member}")
        if kind not in table.TERMINAL_EVENTS:
            _expect(response["output"], [], f"{kind}: output")
            return
        if None in self.done:
            raise BrokenLog(f"{kind} while item {self.done.index(None)} is open")
        _expect(response["output"], self.done, f"{kind}: output")

    def result(self) -> Json:
        """The response as the log tells it: with all items that are done."""
        return {**self.response, "output": [item for item in self.done if item is not None]}


def fold(events: Iterable[Json]) -> Json:
    """The response that a log tells, as JSON. Raises BrokenLog."""
    folded = Fold()
    for event in events:
        folded.add(event)
    return folded.result()


def _row(kind: str, event: Json) -> str:
    return f"{kind}:{event['part']['type']}" if kind == "response.content_part.added" else kind


def _expect(found: Any, expected: Any, what: str) -> None:
    if found != expected or msgspec.json.encode(found) != msgspec.json.encode(expected):
        raise BrokenLog(f"{what}: the log gives {expected!r}, but it says {found!r}")


def _finished(item: ItemFold, done: Json) -> Json:
    """The finished item, once it agrees with all that was told of it."""
    for member in _IDENTITY:
        _expect(done.get(member), item.json.get(member), f"item done: {member}")
    for path in item.told:
        _expect(_at(done, path), _at(item.json, path), f"item done: {'.'.join(path)}")
    return done


def _at(value: Any, path: Path) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


# ---- what each event builds -------------------------------------------------------------------------

Build = Callable[[ItemFold, Json], None]


def _part_added(member: str, index: str) -> Build:
    def build(item: ItemFold, event: Json) -> None:
        parts = item.listed(member)
        _expect(event[index], len(parts), f"part added: {index}")
        parts.append(dict(event["part"]))

    return build


def _part_done(member: str, index: str) -> Build:
    def build(item: ItemFold, event: Json) -> None:
        _expect(event["part"], item.listed(member)[event[index]], "part done")

    return build


def _grow(member: str, index: str, text: str) -> Build:
    """A delta to the text of a part, with its logprobs if it has any."""

    def build(item: ItemFold, event: Json) -> None:
        part = item.listed(member)[event[index]]
        part[text] += event["delta"]
        if event.get("logprobs"):
            part["logprobs"] = part["logprobs"] + event["logprobs"]

    return build


def _whole(member: str, index: str, text: str) -> Build:
    def build(item: ItemFold, event: Json) -> None:
        part = item.listed(member)[event[index]]
        _expect(event[text], part[text], f"{event['type']}: {text}")
        if "logprobs" in event:
            _expect(event["logprobs"], part["logprobs"], f"{event['type']}: logprobs")

    return build


def _annotated(item: ItemFold, event: Json) -> None:
    part = item.listed("content")[event["content_index"]]
    _expect(event["annotation_index"], len(part["annotations"]), "annotation_index")
    part["annotations"] = [*part["annotations"], event["annotation"]]


def _member_grows(*path: str) -> Build:
    return lambda item, event: item.append(path, event["delta"])


def _member_whole(*path: str) -> Build:
    def build(item: ItemFold, event: Json) -> None:
        item.append(path, "")
        _expect(event[path[-1]], _at(item.json, path), f"{event['type']}: {path[-1]}")

    return build


def _command_added(item: ItemFold, event: Json) -> None:
    commands = item.listed("action", "commands")
    _expect(event["command_index"], len(commands), "command added: command_index")
    commands.append(event["command"])


def _command_grows(item: ItemFold, event: Json) -> None:
    item.listed("action", "commands")[event["command_index"]] += event["delta"]


def _command_whole(item: ItemFold, event: Json) -> None:
    _expect(event["command"], item.listed("action", "commands")[event["command_index"]], "command done")


# Events that tell how far an item is, and nothing of what it becomes.
_STAGES = (
    "response.compaction.compacting",
    "response.mcp_call.completed",
    "response.mcp_call.failed",
    "response.mcp_call.in_progress",
    "response.mcp_list_tools.completed",
    "response.mcp_list_tools.failed",
    "response.mcp_list_tools.in_progress",
)

_BUILD: dict[str, Build] = {
    "response.content_part.added": _part_added("content", "content_index"),
    "response.content_part.done": _part_done("content", "content_index"),
    "response.output_text.delta": _grow("content", "content_index", "text"),
    "response.output_text.done": _whole("content", "content_index", "text"),
    "response.output_text.annotation.added": _annotated,
    "response.refusal.delta": _grow("content", "content_index", "refusal"),
    "response.refusal.done": _whole("content", "content_index", "refusal"),
    "response.reasoning_text.delta": _grow("content", "content_index", "text"),
    "response.reasoning_text.done": _whole("content", "content_index", "text"),
    "response.reasoning_summary_part.added": _part_added("summary", "summary_index"),
    "response.reasoning_summary_part.done": _part_done("summary", "summary_index"),
    "response.reasoning_summary_text.delta": _grow("summary", "summary_index", "text"),
    "response.reasoning_summary_text.done": _whole("summary", "summary_index", "text"),
    "response.function_call_arguments.delta": _member_grows("arguments"),
    "response.function_call_arguments.done": _member_whole("arguments"),
    "response.mcp_call_arguments.delta": _member_grows("arguments"),
    "response.mcp_call_arguments.done": _member_whole("arguments"),
    **dict.fromkeys(_STAGES, lambda item, event: None),
    "response.custom_tool_call_input.delta": _member_grows("input"),
    "response.custom_tool_call_input.done": _member_whole("input"),
    "response.apply_patch_call_operation_diff.delta": _member_grows("operation", "diff"),
    "response.apply_patch_call_operation_diff.done": _member_whole("operation", "diff"),
    "response.shell_call_command.added": _command_added,
    "response.shell_call_command.delta": _command_grows,
    "response.shell_call_command.done": _command_whole,
}
