"""How much of a model's window a context takes, and what is left out of one that is too long.

Tokens are counted by the model's own tokenizer where there is one (`Backend.count_tokens`). The estimate here
is for all else: a token is four bytes of UTF-8, which is right for English and too little for most other
text. So what the estimate calls too long is too long, and what it calls half the room fits.

What is left out is left out whole, from the start: a message of the user, or a turn of the assistant with all
results of its calls. Instructions stay (system and developer messages, and whatever leads the context), and
so do the newest message of the user and what the model is to answer now.
"""

from collections.abc import Sequence

import msgspec

from antiphon.model import AudioPart, FilePart, HostedPart, ImagePart, Message, Part, TextPart, Turn

BYTES = 4
"""Bytes of text in a token."""
MESSAGE = 4
"""Tokens that a message takes besides what it says."""
IMAGE, SMALL_IMAGE = 256, 85
"""Tokens of an image, and of one in low detail: few models take fewer."""
# A second of speech is about ten tokens, and 4 KB of base64.
_AUDIO_BYTES = 400
# Files are mostly not text: of a PDF's bytes one in ten or so comes to be read.
_FILE_BYTES = 40

Unit = tuple[int, ...]
"""Indexes of messages that stay or go together."""


def estimate(turn: Turn) -> int:
    """About how many tokens the turn's context has."""
    functions = len(msgspec.json.encode(turn.functions)) // BYTES if turn.functions else 0
    return functions + sum(map(weight, turn.messages))


def weight(message: Message) -> int:
    """About how many tokens a message has."""
    text = len(message.reasoning.encode()) + sum(
        len(call.name) + len(call.arguments.encode()) for call in message.calls
    )
    return MESSAGE + text // BYTES + sum(map(_weight, message.parts))


def _weight(part: Part) -> int:
    match part:
        case TextPart(text):
            return len(text.encode()) // BYTES
        case ImagePart():
            return SMALL_IMAGE if part.detail == "low" else IMAGE
        case AudioPart(data):
            return len(data) // _AUDIO_BYTES
        case FilePart(data):
            return len(data) // _FILE_BYTES
        case HostedPart():
            return sum(map(weight, part.reads))


def shortened(messages: Sequence[Message], excess: int, pinned: int = 0) -> tuple[Message, ...] | None:
    """The messages without the oldest of them, so that at least `excess` estimated tokens are gone; None
    when that many cannot go. The first `pinned` messages stay."""
    gone: set[int] = set()
    for unit in droppable(messages, pinned):
        if excess <= 0:
            break
        gone.update(unit)
        excess -= sum(weight(messages[index]) for index in unit)
    if excess > 0:
        return None
    return tuple(message for index, message in enumerate(messages) if index not in gone)


def droppable(messages: Sequence[Message], pinned: int = 0) -> list[Unit]:
    """What may be left out, oldest first."""
    kept = {*range(pinned), len(messages) - 1}
    kept.update(i for i, message in enumerate(messages) if message.role in ("system", "developer"))
    newest = max((i for i, message in enumerate(messages) if message.role == "user"), default=-1)
    kept.add(newest)
    return [unit for unit in units(messages) if kept.isdisjoint(unit)]


def units(messages: Sequence[Message]) -> list[Unit]:
    """The messages in order; a turn of the assistant and the results of its calls are one unit, wherever
    the results stand. Ids may come again in a later turn: a result belongs to the newest call before it."""
    found: list[list[int]] = []
    callers: dict[str, list[int]] = {}
    for index, message in enumerate(messages):
        unit = callers.get(message.call_id) if message.role == "tool" else None
        if unit is None:
            unit = []
            found.append(unit)
        unit.append(index)
        callers.update((call.id, unit) for call in message.calls)
    return [tuple(unit) for unit in found]
