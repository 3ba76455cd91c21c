"""The calls of tools that a server runs itself, as deltas: whatever the order of their events, and whichever
of them come."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from antiphon.backends.responses.events import Event, Item
from antiphon.backends.responses.hosted_items import hosted_item, look, text
from antiphon.model import (
    Delta,
    HostedCode,
    HostedEnded,
    HostedPicture,
    HostedStarted,
    HostedWorking,
)
from antiphon.model.image import PartialPicture
from antiphon.protocol.hosted_items import is_whole

Raw = Callable[[], Any]
"""All members of an event or an item."""

_WORKING = frozenset({"searching", "interpreting", "generating"})
_OVER = frozenset({"completed", "done", "failed", "incomplete"})
_Name = str | int


class HostedCalls:
    """Those of one answer. `kinds`: the tools that the server is to run; what it does of others is left
    out."""

    def __init__(self, kinds: frozenset[str]) -> None:
        self._types = {f"{kind}_call": kind for kind in kinds}
        self._starts = tuple(f"response.{name}" for name in self._types)
        self._numbers: dict[_Name, int] = {}
        """Of calls, by the ids of their items and by where these stand."""
        self._open: dict[int, str] = {}
        """The tools of those that have not ended."""
        self._begun = 0
        self._lacking = 0
        """Those of which nothing goes back."""
        self._ended: Counter[str] = Counter()

    @property
    def said(self) -> int:
        """How many parts they are of what goes back."""
        return self._begun - self._lacking

    @property
    def ended(self) -> Counter[str]:
        """How many items came whole, of each type."""
        return self._ended.copy()

    def are_told_by(self, event: str) -> bool:
        """Whether an event of this type is about such a call."""
        return bool(self._starts) and event.startswith(self._starts)

    def have(self, item: Item) -> bool:
        return item.type in self._types

    def on_event(self, event: Event, raw: Raw, out: list[Delta]) -> None:
        """How far a call is, or a piece of it; what came up since is left out."""
        name, _, stage = event.type.removeprefix("response.").rpartition(".")
        kind = self._types.get(name.removesuffix("_code"))
        if kind is None:
            return
        number = self._named(kind, event.item_id, event.output_index)
        if number is None and event.item_id is None and event.output_index is None:
            number = self._oldest(kind)
        if number is None:
            if stage in _OVER or self._is_over(event.item_id, event.output_index):
                return
            number = self._start(kind, {}, event.item_id, event.output_index, out)
        if stage in _WORKING:
            out.append(HostedWorking(number))
        elif stage == "delta" and event.delta:
            out.append(HostedCode(number, event.delta))
        elif stage == "partial_image":
            _on_picture(number, _members(raw), out)

    def on_item(self, item: Item, event: Event, raw: Raw, out: list[Delta]) -> None:
        """An item, as it begins, or whole."""
        kind, at = self._types[item.type], event.output_index
        begins = event.type.endswith(".added")
        number = None if begins and item.id is None else self._named(kind, item.id, at)
        if number is None and not begins:
            if self._is_over(item.id, None):
                return
            number = self._oldest(kind)
        if number is None:
            number = self._start(kind, _members(raw), item.id, at, out)
        if not begins:
            del self._open[number]
            self._ended[item.type] += 1
            found = hosted_item(kind, _members(raw))
            self._lacking += not is_whole(found)
            out.append(HostedEnded(number, found))

    def _start(
        self, kind: str, members: Mapping[str, Any], item_id: str | None, at: int | None, out: list[Delta]
    ) -> int:
        number = self._begun
        self._begun += 1
        self._open[number] = kind
        self._numbers |= {name: number for name in (item_id, at) if name is not None}
        out.append(HostedStarted(number, hosted_item(kind, members)))
        return number

    def _named(self, kind: str, item_id: str | None, at: int | None) -> int | None:
        """The open call that is meant, by the names of it that are known; None: they mean none."""
        names = (name for name in (item_id, at) if name is not None)
        number = next((self._numbers[name] for name in names if name in self._numbers), -1)
        return number if self._open.get(number) == kind else None

    def _oldest(self, kind: str) -> int | None:
        """The open call of a tool that is meant where nothing says which."""
        return next((number for number, tool in self._open.items() if tool == kind), None)

    def _is_over(self, item_id: str | None, at: int | None) -> bool:
        """Whether what is known of a call says that it has ended."""
        names = (name for name in (item_id, at) if name is not None)
        return any(name in self._numbers and self._numbers[name] not in self._open for name in names)


def _on_picture(number: int, members: Mapping[str, Any], out: list[Delta]) -> None:
    data, index = text(members, "partial_image_b64"), members.get("partial_image_index")
    if data:
        at = index if isinstance(index, int) and index >= 0 else 0
        out.append(HostedPicture(number, PartialPicture(index=at, data=data, look=look(members))))


def _members(raw: Raw) -> Mapping[str, Any]:
    try:
        found = raw()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, LookupError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}
