"""What stands between a turn and its backend is made of layers: each has something asked, as a backend does.

A layer is an object with a `stream` of the same form as `Backend.stream`, made with the `Ask` behind it. A
turn that it has nothing to do with is passed on as it is, so it costs nothing there.
"""

from collections.abc import Callable
from contextlib import aclosing
from typing import NamedTuple

from antiphon.model import Deltas, TextDelta, Turn, UsageDelta

Ask = Callable[[Turn], Deltas]
"""Has a turn answered. Closing the generator stops the work on it. Raises ApiError."""


class Completion(NamedTuple):
    """An answer that is read by us alone."""

    text: str
    usage: UsageDelta | None


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
