"""Calls and their outputs belong together (behaviours.md section 6, quoted from users' reports)."""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from antiphon.protocol.client_items import (
    CustomToolCall,
    FunctionCall,
    LocalShellCall,
    LocalShellCallOutput,
)
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.item import InputItem, Item, NewId, item_type
from antiphon.stream.kinds import CALL_OF, was_cut
from antiphon.tools.toolbox import Toolbox

_CALLS = frozenset(CALL_OF.values())


def check_pairs(history: Sequence[Item], given: Sequence[Item]) -> None:
    """Every call has its output, and every output that was given has its call. Raises InvalidRequest.

    Items of the past are not held to it on the output's side: one may delete items of a conversation.
    """
    known: dict[str, str] = {}
    waiting: dict[str, str] = {}
    for index, item in enumerate((*history, *given)):
        call_id = getattr(item, "call_id", None)
        if call_id is None:
            continue
        kind = item_type(item)
        if kind in _CALLS:
            known[call_id] = kind
            if not was_cut(item):
                waiting[call_id] = kind
        elif kind in CALL_OF:
            if index >= len(history) and known.get(call_id) != CALL_OF[kind]:
                raise InvalidRequest(
                    f"No tool call found for {_words(kind)} with call_id {call_id}.", param="input"
                )
            waiting.pop(call_id, None)
    for call_id, kind in waiting.items():
        raise InvalidRequest(f"No tool output found for {_words(kind)} {call_id}.", param="input")


def with_call_ids(history: Sequence[Item], given: Sequence[Item], new_id: NewId) -> list[Item]:
    """The given items, in which outputs of a local shell name their call as all others do. In the reference
    they have the call's id instead; where that is the id of its item, they get one of their own, since a
    conversation holds an id once."""
    calls = {
        name: item.call_id
        for item in (*history, *given)
        if isinstance(item, LocalShellCall)
        for name in (item.id, item.call_id)
    }
    return [_bound(item, calls, new_id) for item in given]


def _bound(item: Item, calls: Mapping[str | None, str], new_id: NewId) -> Item:
    if not isinstance(item, LocalShellCallOutput) or item.call_id is not None:
        return item
    call_id = calls.get(item.id, item.id)
    taken = item.id in calls and item.id != call_id
    return replace(item, call_id=call_id, id=new_id(item_type(item)) if taken else item.id)


def check_namespaces(given: Sequence[InputItem], toolbox: Toolbox) -> None:
    """A call that is sent back names the namespace that it came with. Raises InvalidRequest."""
    names = toolbox.names_in_namespaces()
    for index, item in enumerate(given):
        if not isinstance(item, FunctionCall | CustomToolCall) or item.namespace is not None:
            continue
        if item.name in names:
            raise InvalidRequest(
                f"Missing namespace for {item_type(item)} '{item.name}': only a namespace has it. Send the "
                "model's calls back with their namespace.",
                param=f"input[{index}].namespace",
            )


def _words(kind: str) -> str:
    return kind.replace("_", " ")
