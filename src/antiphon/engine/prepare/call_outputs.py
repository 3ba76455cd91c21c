"""Calls and their outputs belong together (behaviours.md section 6, quoted from users' reports)."""

from collections.abc import Collection, Sequence

from antiphon.protocol.client_items import CustomToolCall, FunctionCall
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.item import InputItem, Item, item_type
from antiphon.stream.kinds import CALL_OF, was_cut
from antiphon.tools.toolbox import Toolbox

_CALLS = frozenset(CALL_OF.values())


def check_pairs(history: Sequence[Item], given: Sequence[Item]) -> None:
    """Every call has its output, and every output that was given has its call. Raises InvalidRequest.

    A program may wait for its output, if it is one of ours: the plan goes on with it (`open_programs`).
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
            if not was_cut(item) and kind != "program":
                waiting[call_id] = kind
        elif kind in CALL_OF:
            if index >= len(history) and known.get(call_id) != CALL_OF[kind]:
                raise InvalidRequest(
                    f"No tool call found for {_words(kind)} with call_id {call_id}.", param="input"
                )
            waiting.pop(call_id, None)
    for call_id, kind in waiting.items():
        raise InvalidRequest(f"No tool output found for {_words(kind)} {call_id}.", param="input")


def check_namespaces(given: Sequence[InputItem], toolbox: Toolbox) -> None:
    """A call that is sent back names the namespace that it came with. Raises InvalidRequest."""
    names: Collection[str] | None = None
    for index, item in enumerate(given):
        if not isinstance(item, FunctionCall | CustomToolCall) or item.namespace is not None:
            continue
        if names is None:
            names = toolbox.names_in_namespaces()
        if item.name in names:
            raise InvalidRequest(
                f"Missing namespace for {item_type(item)} '{item.name}': only a namespace has it. Send the "
                "model's calls back with their namespace.",
                param=f"input[{index}].namespace",
            )


def _words(kind: str) -> str:
    return kind.replace("_", " ")
