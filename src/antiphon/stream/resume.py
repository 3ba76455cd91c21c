"""Going on with a log whose writer died: the machine that continues it.

The log is folded, so that everything told is known again. An item that was still open will not be finished
by anybody: it is closed as `incomplete`, by the shortest way that the table leaves, with what was told of
it. Then the machine goes on with the next sequence number, as if it had never stopped.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import msgspec

from antiphon.protocol import events
from antiphon.protocol.content import Logprob
from antiphon.protocol.events import Event
from antiphon.protocol.item import Item
from antiphon.protocol.items import decode_stored
from antiphon.protocol.response import Response
from antiphon.protocol.wire import encode
from antiphon.stream import table
from antiphon.stream.fold import Fold, ItemFold, Json
from antiphon.stream.machine import Machine

_DONE = "response.output_item.done"


class Resumed(NamedTuple):
    machine: Machine
    fold: Fold
    """What the log tells so far; without what the machine has just told of open items."""


def resume(log: Iterable[Json], new_id: Callable[[str], str]) -> Resumed:
    """The machine that continues a log. What it tells of items that were open is there to be drained.
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
            _give_up(machine, fold.items[index], index)
    return Resumed(machine, fold)


def _give_up(machine: Machine, item: ItemFold, index: int) -> None:
    place = {"item_id": item.json["id"], "output_index": index}
    for event in _way_out(item.json["type"], item.state):
        if event != _DONE:
            machine.emit(_TELL[event](item.json, place))
    machine.close_at(index, _given_up(item.json))


@cache
def _way_out(item_type: str, state: table.State) -> Sequence[str]:
    """The fewest events that close an item of this type from this state."""
    rows = table.rows_of(item_type)
    ways: deque[tuple[table.State, tuple[str, ...]]] = deque([(state, ())])
    while True:
        here, told = ways.popleft()
        if here == table.CLOSED:
            return told
        ways.extend((after, (*told, event)) for (before, event), after in rows.items() if before == here)


def _given_up(item: Json) -> Item:
    changes: Json = {}
    if "status" in item and item["type"] != "apply_patch_call":  # which knows no such status
        changes["status"] = "incomplete"
    if item["type"] == "mcp_list_tools":
        changes["error"] = "The server stopped before the answer."
    return decode_stored(encode(item | changes))


# ---- what must still be told of an item, from what was told of it -----------------------------------

Tell = Callable[[Json, Json], Event]


def _part_text(kind: type[Event], parts: str, index: str, text: str) -> Tell:
    """The whole text of the newest part."""

    def tell(item: Json, place: Json) -> Event:
        part = item[parts][-1]
        members: dict[str, Any] = {index: len(item[parts]) - 1, text: part[text]}
        if kind is events.TextDone:
            members["logprobs"] = msgspec.convert(part["logprobs"], list[Logprob])
        return kind(**place, **members)

    return tell


def _part(kind: type[Event], parts: str, index: str) -> Tell:
    """The newest part, as a whole."""
    return lambda item, place: kind(**place, **{index: len(item[parts]) - 1, "part": item[parts][-1]})


def _member(kind: type[Event], *path: str) -> Tell:
    def tell(item: Json, place: Json) -> Event:
        value: Any = item
        for name in path:
            value = value[name]
        return kind(**place, **{path[-1]: value})

    return tell


def _command(item: Json, place: Json) -> Event:
    commands = item["action"]["commands"]
    return events.CommandDone(
        output_index=place["output_index"], command_index=len(commands) - 1, command=commands[-1]
    )


_TELL: dict[str, Tell] = {
    "response.output_text.done": _part_text(events.TextDone, "content", "content_index", "text"),
    "response.refusal.done": _part_text(events.RefusalDone, "content", "content_index", "refusal"),
    "response.reasoning_text.done": _part_text(events.ReasoningTextDone, "content", "content_index", "text"),
    "response.content_part.done": _part(events.PartDone, "content", "content_index"),
    "response.reasoning_summary_text.done": _part_text(
        events.SummaryTextDone, "summary", "summary_index", "text"
    ),
    "response.reasoning_summary_part.done": _part(events.SummaryPartDone, "summary", "summary_index"),
    "response.function_call_arguments.done": _member(events.ArgumentsDone, "arguments"),
    "response.custom_tool_call_input.done": _member(events.CustomInputDone, "input"),
    "response.apply_patch_call_operation_diff.done": _member(events.PatchDiffDone, "operation", "diff"),
    "response.shell_call_command.done": _command,
    "response.mcp_list_tools.in_progress": lambda item, place: events.McpListingInProgress(**place),
    "response.mcp_call.in_progress": lambda item, place: events.McpCallInProgress(**place),
    "response.mcp_call_arguments.done": _member(events.McpArgumentsDone, "arguments"),
}
