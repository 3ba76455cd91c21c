"""What a client sends although the context holds it (upstreams.md section 10).

Frameworks that keep the whole conversation themselves send a call again with its output, and what was said
before it, behind `previous_response_id` or a conversation. The call that is sent again is the one that waits;
an output of an earlier round was read then. The model reads each call once, with one result, and nothing is
stored twice.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from antiphon.model.json_text import read_json
from antiphon.protocol.hosted_items import McpApprovalRequest, McpApprovalResponse
from antiphon.protocol.item import Item, item_type
from antiphon.protocol.items import AssistantMessage, InputMessage, Reasoning
from antiphon.protocol.wire import encode
from antiphon.stream.kinds import CALL_OF

_CALL_OF: Mapping[str, str] = {**CALL_OF, "mcp_approval_response": "mcp_approval_request"}
_CALLS = frozenset(_CALL_OF.values())
_INCIDENTAL = frozenset(("id", "status", "namespace", "async_", "caller", "created_by"))
"""Members in which an item may differ from itself."""

_Key = tuple[str, str]
"""The type of a call, and what its answer names it by."""


def replayed(history: Sequence[Item], given: Sequence[Item]) -> frozenset[int]:
    """Where in what is given an item stands that the context holds before it."""
    if not any(map(_key, given)):
        return frozenset()
    pairs = _Pairs(history)
    dropped = {index for index, item in enumerate(given) if pairs.holds(index, item)}
    if pairs.anchor is None:
        return frozenset(dropped)
    said = _around(history, given, pairs.anchor)
    # Where there is nothing new at all, what was said again was meant.
    return frozenset(dropped | said if len(dropped | said) < len(given) else dropped)


class _Anchor(NamedTuple):
    """An item that belongs to a call of the history: what stands around it may stand around that call."""

    given: int
    call: int
    """Where the history has the call."""
    answer: int | None
    """And its answer, if it has one."""


class _Placed(NamedTuple):
    item: Item
    place: int | None
    """Where it stands in the history, if it does."""


class _Pairs:
    """Calls and their answers, those of the history first."""

    def __init__(self, history: Sequence[Item]) -> None:
        self.anchor: _Anchor | None = None
        """The last one."""
        self._calls: dict[_Key, _Placed] = {}
        self._answers: dict[_Key, _Placed] = {}
        self._waiting: Counter[_Key] = Counter()
        for place, item in enumerate(history):
            self._add(item, place)

    def holds(self, index: int, item: Item) -> bool:
        """Whether an item that is given at `index` is there already. It is, from now on."""
        key = _key(item)
        call = self._calls.get(key) if key is not None else None
        if key is None or call is None:
            self._add(item)
            return False
        again = self._is_again(key, call, item)
        if call.place is not None and (again or item_type(item) != key[0]):
            answer = self._answers.get(key)
            self.anchor = _Anchor(index, call.place, answer and answer.place)
        if not again:
            self._add(item)
        return again

    def _is_again(self, key: _Key, call: _Placed, item: Item) -> bool:
        waits = self._waiting[key] > 0
        if item_type(item) != key[0]:
            answer = self._answers.get(key)
            return not waits and answer is not None and _decides_the_same(answer.item, item)
        if call.place is None:
            return waits and _is_same(call.item, item)
        return waits or _is_same(call.item, item)

    def _add(self, item: Item, place: int | None = None) -> None:
        key = _key(item)
        if key is None:
            return
        if item_type(item) == key[0]:
            self._calls[key] = _Placed(item, place)
            self._waiting[key] += 1
        elif key in self._calls:
            self._answers[key] = _Placed(item, place)
            self._waiting[key] = max(0, self._waiting[key] - 1)


def _key(item: Item) -> _Key | None:
    kind = item_type(item)
    kind = kind if kind in _CALLS else _CALL_OF.get(kind, "")
    if isinstance(item, McpApprovalRequest):
        name = item.id
    elif isinstance(item, McpApprovalResponse):
        name = item.approval_request_id
    else:
        name = getattr(item, "call_id", None)
    return (kind, name) if kind and name else None


def _is_same(one: Item, other: Item) -> bool:
    """Whether two calls under one id are one call. A new one may have an old id, where clients count them."""
    return type(one) is type(other) and _content(one) == _content(other)


def _decides_the_same(one: Item, other: Item) -> bool:
    """An answer is given once, but consent may come after a denial."""
    return getattr(one, "approve", None) == getattr(other, "approve", None)


def _content(item: Item) -> dict[str, Any]:
    """What an item says. Arguments may be written in another way."""
    members = {name: getattr(item, name) for name in item.__struct_fields__ if name not in _INCIDENTAL}
    arguments = members.get("arguments")
    if isinstance(arguments, str):
        members["arguments"] = read_json(arguments, arguments)
    return members


# ---- what was said around a call --------------------------------------------------------------------


def _around(history: Sequence[Item], given: Sequence[Item], anchor: _Anchor) -> set[int]:
    """Where items stand that the history has around the same call."""
    known = {item.id: type(item) for item in history}
    leading = given[: anchor.given]
    found = {index for index, item in enumerate(leading) if known.get(item.id) is type(item)}
    found |= _said_again(history[: anchor.call], leading)
    if anchor.answer is not None:
        # The other way round, what stands behind is what stands before.
        behind = _said_again(history[: anchor.answer : -1], given[: anchor.given : -1])
        found |= {len(given) - 1 - index for index in behind}
    return found


def _said_again(history: Sequence[Item], leading: Sequence[Item]) -> set[int]:
    """Where the words stand with which the history ends: messages that clients send, in a row, and of the
    model's those that were sent along."""
    found: set[int] = set()
    before, words = _stretch(history, len(history))
    for index, item in reversed(list(enumerate(leading))):
        if isinstance(item, AssistantMessage | Reasoning) and _words(item) in words:
            found.add(index)
        elif isinstance(item, InputMessage):
            if before < 0 or _words(history[before]) != _words(item):
                break
            found.add(index)
            before, words = _stretch(history, before)
    return found


def _stretch(history: Sequence[Item], end: int) -> tuple[int, set[bytes]]:
    """Where the last message of a client stands before `end`, and what the model has said behind it."""
    words: set[bytes] = set()
    for place in reversed(range(end)):
        item = history[place]
        if isinstance(item, InputMessage):
            return place, words
        if isinstance(item, AssistantMessage | Reasoning):
            words.add(_words(item))
    return -1, words


def _words(item: Item) -> bytes:
    if isinstance(item, InputMessage | AssistantMessage):
        return encode([item.role, [getattr(part, "text", part) for part in item.content]])
    return encode(_content(item))
