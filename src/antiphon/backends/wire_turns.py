"""Neutral messages in the order that servers insist on which know no chat template: what leads stands apart,
each result behind its call, the last word is the user's."""

from collections import Counter, deque
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from antiphon.backends.messages import CONTINUE, readable, results_after_calls
from antiphon.model import Message, TextPart
from antiphon.model.turn import leading


class Ordered(Struct, frozen=True):
    """What leads, and what is said."""

    leading: tuple[Message, ...]
    said: tuple[Message, ...]
    newest: int
    """Where the newest message of the user's own stands among what is said; -1: there is none."""

    def goes_on(self, at: int) -> bool:
        """Whether a message belongs to the tool loop that goes on: its reasoning still counts."""
        return at > self.newest and bool(self.said[at].calls)


def ordered(messages: Sequence[Message]) -> Ordered:
    """The messages as such a server wants them."""
    count = leading(messages)
    first, rest = tuple(messages[:count]), list(messages[count:])
    if not rest:
        # Instructions alone: the last of them is what the model has to answer.
        first, rest = first[:-1], [replace(each, role="user") for each in first[-1:]]
    said = _distinct(readable(results_after_calls(rest)))
    newest = max((at for at, m in enumerate(said) if m.role == "user"), default=-1)
    if not said or said[-1].role == "assistant":
        said.append(Message("user", (TextPart(CONTINUE),)))
    return Ordered(first, tuple(said), newest)


def _distinct(messages: list[Message]) -> list[Message]:
    """Calls of which no two have one id: clients bring some that do, and each would be refused for the rest
    of the chain. Results, which stand behind their calls, have the ids of those."""
    ids = [call.id for message in messages for call in message.calls]
    if len(ids) == len(set(ids)):
        return messages
    taken, times = set(ids), Counter[str]()
    waiting: dict[str, deque[str]] = {}
    found: list[Message] = []
    for message in messages:
        if message.calls:
            calls = tuple(replace(call, id=_another(call.id, times, taken)) for call in message.calls)
            waiting = {call.id: deque() for call in message.calls}
            for before, after in zip(message.calls, calls, strict=True):
                waiting[before.id].append(after.id)
            message = replace(message, calls=calls)
        elif message.role == "tool" and waiting.get(message.call_id):
            message = replace(message, call_id=waiting[message.call_id].popleft())
        found.append(message)
    return found


def _another(call_id: str, times: Counter[str], taken: set[str]) -> str:
    """The id of a call: one of its own, if others had it before. `times`: how often each was had."""
    times[call_id] += 1
    if times[call_id] == 1:
        return call_id
    while (found := f"{call_id}_{times[call_id]}") in taken:
        times[call_id] += 1
    taken.add(found)
    return found


def in_words(reasoning: str) -> str:
    """Reasoning for a model that reads none but its own: another one's, or without its signature."""
    return f"What I thought so far:\n{reasoning}"
