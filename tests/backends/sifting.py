"""What a text says once its calls are read."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from antiphon.backends.text_calls import TextCalls
from antiphon.model import (
    CallArguments,
    CallStarted,
    Delta,
    Finished,
    Function,
    Message,
    TextDelta,
    TextPart,
    Turn,
)

PROPERTIES: dict[str, Any] = {
    "city": {"type": "string"},
    "days": {"type": "integer"},
    "exact": {"type": "boolean"},
    "where": {"type": "object"},
    "tags": {"type": "array"},
    "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
}
F = Function("f", "", {"type": "object", "properties": PROPERTIES})
G = Function("get_weather", "", {"type": "object", "properties": PROPERTIES})
STOP, CUT = Finished("stop"), Finished("length")


def turn(**more: Any) -> Turn:
    return Turn("m", (Message("user", (TextPart("Hi"),)),), **{"functions": (F, G)} | more)


def cut(text: str, cuts: Sequence[int]) -> list[str]:
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    return [text[start:end] for start, end in pairwise(edges)]


def read(text: str, cuts: Sequence[int] = (), end: Finished = STOP, **more: Any) -> list[Any]:
    """What a text says: pieces of text, calls as (name, arguments), and at last why it ended."""
    calls = TextCalls(turn(**more))
    batches: list[list[Delta]] = [[TextDelta(piece)] for piece in cut(text, cuts)]
    return said([delta for batch in [*batches, [end]] for delta in calls.feed(batch)])


def said(deltas: Sequence[Delta]) -> list[Any]:
    found: list[Any] = []
    for number, delta in enumerate(deltas):
        last = found[-1] if found else None
        match delta:
            case TextDelta(text):
                found[-1:] = [last + text] if isinstance(last, str) else [*found[-1:], text]
            case CallStarted(name=name):
                found.append((name, ""))
            case CallArguments(text=text):
                found[-1] = (found[-1][0], found[-1][1] + text)
            case Finished(reason):
                assert number == len(deltas) - 1
                found.append({reason})
            case _:
                found.append(delta)
    return found


def understood(found: Sequence[Any]) -> list[Any]:
    """The same with arguments as values."""
    return [(each[0], json.loads(each[1])) if isinstance(each, tuple) else each for each in found]


def indexes(deltas: Sequence[Delta]) -> list[tuple[int, str]]:
    return [(delta.index, delta.name) for delta in deltas if isinstance(delta, CallStarted)]
