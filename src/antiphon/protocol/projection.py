"""What `include` shows and hides: all that is known of an item is stored with it, and every reader of items
sees what he asked for (surface.md section 9).

A row for each value of `include` says what stands where. A projection takes away what was not asked for,
from items and events in the form of structs (while they are written) or of JSON (as they are stored). That
nothing is to be taken away is found out without a look into each of them: see `projection` and the marks.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from antiphon.protocol.delta_runs import Emitted
from antiphon.protocol.events import ItemAdded, ItemDone, ResponseEvent
from antiphon.protocol.item import Item, item_type
from antiphon.protocol.request import Include
from antiphon.protocol.wire import JsonObject, encode

ABSENT: Any = object()
"""Nothing stands there instead."""

_LOGPROBS: Include = "message.output_text.logprobs"


class Row(NamedTuple):
    """What a value of `include` shows."""

    item: str
    """The type of the items that may have it."""
    path: tuple[str, ...]
    """Where it stands. `[input_image]`: in each part of this type."""
    hidden: Any
    """What stands there when it is not shown."""
    mark: bytes
    """Stands in all JSON that has it, and in little else."""


ROWS: Mapping[Include, Row] = {
    "file_search_call.results": Row("file_search_call", ("results",), None, b'"results":['),
    "web_search_call.results": Row("web_search_call", ("results",), ABSENT, b'"results":['),
    "web_search_call.action.sources": Row("web_search_call", ("action", "sources"), ABSENT, b'"sources":['),
    "message.input_image.image_url": Row(
        "message", ("content", "[input_image]", "image_url"), ABSENT, b'"image_url":"'
    ),
    "computer_call_output.output.image_url": Row(
        "computer_call_output", ("output", "image_url"), ABSENT, b'"image_url":"'
    ),
    "code_interpreter_call.outputs": Row("code_interpreter_call", ("outputs",), None, b'"outputs":['),
    "reasoning.encrypted_content": Row("reasoning", ("encrypted_content",), ABSENT, b'"encrypted_content":"'),
    _LOGPROBS: Row("message", ("content", "[output_text]", "logprobs"), [], b'"logprobs":[{'),
}


class Projection:
    """Shows items without what the rows name. Truth value: whether there is any row."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = tuple(rows)
        self._by_item: dict[str, list[Row]] = {}
        for row in self._rows:
            self._by_item.setdefault(row.item, []).append(row)
        self._marks = tuple({row.mark for row in self._rows})
        self._hides_logprobs = ROWS[_LOGPROBS] in self._rows

    def __bool__(self) -> bool:
        return bool(self._rows)

    # ---- while they are written ----

    def item(self, item: Item) -> Item | JsonObject:
        """An item of the output, as it is shown."""
        return self._shown(msgspec.to_builtins(item)) if item_type(item) in self._by_item else item

    def items(self, items: Sequence[Any]) -> list[Any]:
        return [self.item(item) for item in items]

    def events(self, events: Sequence[Emitted]) -> Sequence[Emitted]:
        """Events, as they are shown. Logprobs of deltas are there only when they were asked for."""
        return [self._event(event) for event in events]

    def _event(self, event: Emitted) -> Emitted:
        if isinstance(event, ItemAdded | ItemDone):
            return replace(event, item=self.item(event.item))
        if isinstance(event, ResponseEvent) and event.response.output:
            shown = replace(event.response, output=self.items(event.response.output))
            return replace(event, response=shown)
        return event

    # ---- as they are stored ----

    def stored_item(self, json: bytes) -> bytes:
        """The JSON of an item, as it is shown."""
        if not self._may_hide(json):
            return json
        return encode(self._shown(msgspec.json.decode(json)))

    def stored_events(self, lines: Sequence[bytes]) -> Sequence[bytes]:
        """The JSON of events, as they are shown. Together they are looked through faster than one by one.
        Deltas of which several stand in one, in lines, have nothing to hide."""
        if not self._may_hide(b"".join([line for line in lines if b"\n" not in line])):
            return lines
        return [self._stored_event(line) if self._may_hide(line) else line for line in lines]

    def _may_hide(self, json: bytes) -> bool:
        return any(mark in json for mark in self._marks)

    def _stored_event(self, line: bytes) -> bytes:
        event: JsonObject = msgspec.json.decode(line)
        if "item" in event:
            event["item"] = self._shown(event["item"])
        if "response" in event:
            response = event["response"]
            response["output"] = [self._shown(item) for item in response["output"]]
        if self._hides_logprobs and "logprobs" in event:
            event["logprobs"] = []
        return encode(event)

    def _shown(self, item: JsonObject) -> JsonObject:
        for row in self._by_item.get(item["type"], ()):
            item = _without(item, row.path, row.hidden)
        return item


def projection(include: Iterable[Include] | None, types: frozenset[str] | None = None) -> Projection:
    """What hides all that is not among these values of `include`. `types`: of the items that there are, where
    that is known."""
    return _projection(frozenset(include or ()), types)


@lru_cache(maxsize=256)
def _projection(include: frozenset[Include], types: frozenset[str] | None) -> Projection:
    hidden = (row for name, row in ROWS.items() if name not in include)
    return Projection(row for row in hidden if types is None or row.item in types)


def _without(value: Any, path: tuple[str, ...], hidden: Any) -> Any:
    """A value without what stands at a place in it."""
    step, deeper = path[0], path[1:]
    if step.startswith("["):
        if not isinstance(value, list | tuple):
            return value
        kind = step[1:-1]
        return [_without(part, deeper, hidden) if part["type"] == kind else part for part in value]
    if not isinstance(value, dict) or value.get(step) is None:
        return value
    if deeper:
        return value | {step: _without(value[step], deeper, hidden)}
    if hidden is ABSENT:
        return {name: held for name, held in value.items() if name != step}
    return value | {step: hidden}
