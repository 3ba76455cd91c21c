"""Bounds on answers for which nobody said how long they may be.

Small models often do not know when to stop: they write until their window is full, and mostly one thing over
and over again. An answer of which the request says how long it may be is not touched.
"""

from contextlib import aclosing

from msgspec.structs import replace

from antiphon.backends.around import Around
from antiphon.model import Backend, Deltas, Finished, Passthrough, TextDelta, Turn

LOOP = 1024
"""So many characters that are nothing but a repetition end an answer."""
_LONGEST_UNIT = 128
"""Characters of what is repeated: eight times at least."""
_STRIDE = 256
"""New characters after which the text is looked at again."""


class Bounded(Around):
    """Answers have `most` tokens when their turn does not say how many: what is longer is cut short."""

    def __init__(self, inner: Backend, most: int) -> None:
        super().__init__(inner)
        self._most = most

    def stream(self, turn: Turn) -> Deltas:
        return self.inner.stream(turn if turn.max_tokens else replace(turn, max_tokens=self._most))

    def passthrough(self) -> Passthrough | None:
        inner = self.inner.passthrough()
        return inner and inner.bounded(self._most)


class WithoutLoops(Around):
    """Answers that have come to repeat themselves are cut short when their turn does not say how long they
    may be."""

    def stream(self, turn: Turn) -> Deltas:
        return self.inner.stream(turn) if turn.max_tokens else self._watched(turn)

    async def _watched(self, turn: Turn) -> Deltas:
        tail, new = "", 0
        async with aclosing(self.inner.stream(turn)) as batches:
            async for batch in batches:
                yield batch
                said = "".join(delta.text for delta in batch if isinstance(delta, TextDelta))
                tail, new = (tail + said)[-LOOP:], new + len(said)
                if new >= _STRIDE:
                    new = 0
                    if loops(tail):
                        yield [Finished("length")]
                        return


def loops(tail: str) -> bool:
    """Whether the last characters of a text are one short unit again and again."""
    if len(tail) < LOOP:
        return False
    return any(tail[unit:] == tail[:-unit] for unit in range(1, _LONGEST_UNIT + 1))
