"""What stands between a turn and its backend is made of layers: each has something asked, as a backend does.

A layer is an object with a `stream` of the same form as `Backend.stream`, made with the `Ask` behind it. A
turn that it has nothing to do with is passed on as it is, so it costs nothing there.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple

from antiphon.model import Delta, RefusalDelta, SummaryDelta, TextDelta, Turn, UsageDelta
from antiphon.model.delta import AudioDelta, ReasoningDelta

Deltas = AsyncGenerator[Sequence[Delta], None]
Ask = Callable[[Turn], Deltas]
"""Has a turn answered. Closing the generator stops the work on it. Raises ApiError."""

_TEXTS = (TextDelta, RefusalDelta, ReasoningDelta, SummaryDelta)


class Completion(NamedTuple):
    """An answer that is read by us alone."""

    text: str
    usage: UsageDelta | None


def has_output(batch: Sequence[Delta]) -> bool:
    """Whether a batch holds anything of the answer itself: until then a turn may be asked anew, and nobody
    sees it. Neither the word that the turn was accepted (an empty batch) nor a count of tokens does."""
    return any(map(_is_output, batch))


def _is_output(delta: Delta) -> bool:
    if isinstance(delta, _TEXTS):
        return bool(delta.text)
    if isinstance(delta, AudioDelta):
        return bool(delta.data or delta.transcript)
    return not isinstance(delta, UsageDelta)


async def complete(ask: Ask, turn: Turn) -> Completion:
    """The whole text of an answer, and what it cost. Raises ApiError."""
    text: list[str] = []
    usage: UsageDelta | None = None
    async with aclosing(ask(turn)) as deltas:
        async for batch in deltas:
            for delta in batch:
                if isinstance(delta, TextDelta):
                    text.append(delta.text)
                elif isinstance(delta, UsageDelta):
                    usage = delta
    return Completion("".join(text).strip(), usage)
