"""Calls and their outputs belong together (BEHAVIOURS.md section 6, quoted from users' reports)."""

from collections.abc import Sequence

from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.item import Item, item_type

ANSWERED_BY_CLIENT = frozenset({"function_call", "custom_tool_call", "computer_call", "local_shell_call"})


def check_pairs(history: Sequence[Item], given: Sequence[Item]) -> None:
    """Every call has its output, and every output that was given has its call. Raises InvalidRequest."""
    waiting: dict[str, str] = {}
    known: dict[str, str] = {}
    for index, item in enumerate((*history, *given)):
        call_id = getattr(item, "call_id", None)
        if call_id is None:
            continue
        kind = item_type(item)
        if kind in ANSWERED_BY_CLIENT:
            waiting[call_id] = known[call_id] = kind
        elif kind.endswith("_output"):
            if index >= len(history) and known.get(call_id) != kind.removesuffix("_output"):
                raise InvalidRequest(
                    f"No tool call found for {_words(kind)} with call_id {call_id}.", param="input"
                )
            waiting.pop(call_id, None)
    for call_id, kind in waiting.items():
        raise InvalidRequest(f"No tool output found for {_words(kind)} {call_id}.", param="input")


def _words(kind: str) -> str:
    return kind.replace("_", " ")
