"""How a response grows, as its page is told: events of a log as changes of what is shown.

What is added and what is done comes as HTML, as the page itself has it; what grows in between is text.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from antiphon.dashboard.items import item_html
from antiphon.protocol.events import Event
from antiphon.protocol.item import Item
from antiphon.protocol.wire import encode

Change = dict[str, Any]


def grown(events: Sequence[bytes]) -> bytes:
    """The changes that these events make, as JSON. Texts that follow each other are one."""
    return _changes(map(msgspec.json.decode, events))


def grown_here(events: Sequence[Event]) -> bytes:
    """The same of events that are in no log."""
    return _changes(msgspec.json.decode(encode(event)) for event in events)


def standing(status: str, items: Sequence[tuple[Item, str | None]]) -> bytes:
    """What a response is so far, in place of all that was shown of it. `items` are as the machine has them:
    with the text of those that are not finished."""
    changes: list[Change] = [{"type": "anew"}, {"type": "status", "status": status}]
    for index, (item, said) in enumerate(items):
        html = item_html(msgspec.json.decode(encode(item)), index, growing=said is not None)
        changes.append({"type": "added", "index": index, "html": html})
        if said:
            changes.append({"type": "text", "index": index, "text": said})
    return msgspec.json.encode(changes)


def _changes(events: Iterable[Any]) -> bytes:
    changes: list[Change] = []
    for event in events:
        _take(changes, event)
    return msgspec.json.encode(changes)


def _take(changes: list[Change], event: Any) -> None:
    kind: str = event["type"]
    if kind in _KINDS:
        changes.append(_KINDS[kind](event))
    elif isinstance(event.get("delta"), str) and "output_index" in event:
        _add_text(changes, event["output_index"], event["delta"])
    elif "response" in event:
        changes.append({"type": "status", "status": event["response"]["status"]})
    elif "item_id" in event and "content_index" not in event and "summary_index" not in event:
        changes.append({"type": "phase", "index": event["output_index"], "phase": kind.rpartition(".")[2]})


def _add_text(changes: list[Change], index: int, text: str) -> None:
    last = changes[-1] if changes else {}
    if last.get("type") == "text" and last["index"] == index:
        last["text"] += text
    else:
        changes.append({"type": "text", "index": index, "text": text})


def _added(event: Any) -> Change:
    html = item_html(event["item"], event["output_index"], growing=True)
    return {"type": "added", "index": event["output_index"], "html": html}


def _done(event: Any) -> Change:
    html = item_html(event["item"], event["output_index"])
    return {"type": "done", "index": event["output_index"], "html": html}


_KINDS: dict[str, Callable[[Any], Change]] = {
    "response.output_item.added": _added,
    "response.output_item.done": _done,
}
