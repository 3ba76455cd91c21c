"""Neutral messages in the order that servers insist on which know no chat template: what leads stands apart,
each result behind its call, the last word is the user's."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from antiphon.backends.messages import CONTINUE, readable, results_after_calls
from antiphon.model import Message, TextPart

_SYSTEM = ("system", "developer")


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
    count = next((at for at, m in enumerate(messages) if m.role not in _SYSTEM), len(messages))
    leading, rest = tuple(messages[:count]), list(messages[count:])
    if not rest:
        # Instructions alone: the last of them is what the model has to answer.
        leading, rest = leading[:-1], [replace(each, role="user") for each in leading[-1:]]
    said = readable(results_after_calls(rest))
    newest = max((at for at, m in enumerate(said) if m.role == "user"), default=-1)
    if not said or said[-1].role == "assistant":
        said.append(Message("user", (TextPart(CONTINUE),)))
    return Ordered(leading, tuple(said), newest)


def in_words(reasoning: str) -> str:
    """Reasoning for a model that reads none but its own: another one's, or without its signature."""
    return f"What I thought so far:\n{reasoning}"
