"""What a model's server gives beside what the model says, and wants back as it came: signatures of thoughts,
sealed reasoning. Nobody else can read it.

Forms: `reasoning_details` (OpenRouter) come in pieces, which belong together by their type and index;
`thinking_blocks` (LiteLLM) come in pieces too, and their signature ends a block; `extra_content` of a message
or a call (Gemini) comes whole.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from msgspec import Struct

from antiphon.protocol.wire import JsonObject

_GROWING = frozenset({"text", "summary", "data", "thinking"})
"""Members of a piece that go on where the piece before it ended."""


class Opaque(Struct, frozen=True, gc=False):
    """What belongs to one message of the assistant's."""

    message: JsonObject = msgspec.field(default_factory=dict)
    """Members of the message itself."""
    calls: dict[str, JsonObject] = msgspec.field(default_factory=dict)
    """Members of its calls, by their ids."""

    def __bool__(self) -> bool:
        return bool(self.message or self.calls)

    def plus(self, other: "Opaque") -> "Opaque":
        """Both, in this order."""
        return Opaque(joined((self.message, other.message)), {**self.calls, **other.calls})

    def has_reasoning(self) -> bool:
        """Whether the message's reasoning is in it, word for word."""
        return any(isinstance(value, list) for value in self.message.values())


def joined(pieces: Iterable[Mapping[str, Any]]) -> JsonObject:
    """Members that came in pieces, whole. What is whole stays as it is."""
    whole: JsonObject = {}
    for piece in pieces:
        for name, value in piece.items():
            before = whole.get(name)
            if isinstance(value, list):
                whole[name] = _assembled([*(before if isinstance(before, list) else ()), *value])
            elif isinstance(value, dict) and isinstance(before, dict):
                whole[name] = joined((before, value))
            else:
                whole[name] = value
    return whole


def _assembled(pieces: Iterable[Any]) -> list[Any]:
    """A list of objects that came in pieces."""
    whole: list[Any] = []
    for piece in pieces:
        known = whole if isinstance(piece, dict) and "index" in piece else whole[-1:]
        before = next((each for each in reversed(known) if _goes_on(each, piece)), None)
        if before is None:
            whole.append(dict(piece) if isinstance(piece, dict) else piece)
            continue
        for name, value in piece.items():
            if name in _GROWING and isinstance(value, str):
                before[name] = (before.get(name) or "") + value
            elif value is not None:
                before[name] = value
    return whole


def _goes_on(before: Any, piece: Any) -> bool:
    """Whether a piece is of the same object as one before it. What is sealed comes whole, under an id."""
    if not isinstance(before, dict) or not isinstance(piece, dict):
        return False
    if before.get("type") != piece.get("type") or before.get("index") != piece.get("index"):
        return False
    if before.get("id") and piece.get("id") and before["id"] != piece["id"]:
        return False
    return "index" in piece or not (before.get("signature") or "data" in piece)
