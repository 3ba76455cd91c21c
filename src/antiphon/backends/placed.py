"""What goes back as it came, in the places where it came: sealed reasoning among the text and calls of an
answer. Its server checks that order.

A piece notes how many texts and calls stood before it (`PLACE`); the rest of it is the server's own.
"""

from collections.abc import Sequence
from math import inf
from operator import itemgetter
from typing import Any

from antiphon.protocol.wire import JsonObject

PLACE = "after"
"""Beside the server's members; taken off before they go back."""
_Key = tuple[int, float]
"""Among the texts (0) or the calls (1), and where: pieces stand between those, at whole numbers."""


def noted(piece: JsonObject, texts: int, calls: int) -> JsonObject:
    """The piece with its place."""
    return {**piece, PLACE: [texts, calls]}


def placed(pieces: Any, texts: Sequence[JsonObject], calls: Sequence[JsonObject]) -> list[JsonObject]:
    """Texts, then calls, with the pieces among them. Texts that were joined since, or calls that were not
    made, take no place away: what stood behind them stands at the end, but before the last text where no call
    follows, since servers refuse reasoning that leads to nothing."""
    last = inf if calls else max(len(texts) - 1, 0)
    said: list[tuple[_Key, JsonObject]] = [
        *(((0, at + 0.5), text) for at, text in enumerate(texts)),
        *(((1, at + 0.5), call) for at, call in enumerate(calls)),
        *((_key(piece, last), _plain(piece)) for piece in given(pieces)),
    ]
    return [each for _, each in sorted(said, key=itemgetter(0))]


def given(pieces: Any) -> list[JsonObject]:
    """What was sealed, as far as it is pieces."""
    return [piece for piece in pieces if isinstance(piece, dict)] if isinstance(pieces, list) else []


def _key(piece: JsonObject, last: float) -> _Key:
    """`last`: the last place among the texts."""
    match piece.get(PLACE):
        case [int(texts), int(calls)]:
            return (1, calls) if calls else (0, min(texts, last))
        case _:
            return (0, 0)


def _plain(piece: JsonObject) -> JsonObject:
    return {name: value for name, value in piece.items() if name != PLACE}
