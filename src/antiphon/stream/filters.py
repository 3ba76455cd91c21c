"""What stands between the text that a model writes and the message that it becomes.

A filter holds back what may become a mark of its own, across any border of deltas, and gives text and
annotated text. It knows no positions: these are counted where the message is written, so that filters can
stand behind one another.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from antiphon.protocol.content import Annotation


class Annotated(NamedTuple):
    """Text that is annotated. It may be empty, where a mark was cut."""

    text: str
    annotation: Callable[[int, int], Annotation | None]
    """The annotation of text that starts and ends there, in characters of its part; None: there is none."""


Filtered = str | Annotated


class TextFilter(Protocol):
    """A filter of one text."""

    def feed(self, text: str) -> Sequence[Filtered]:
        """What is certain, now that this text is there too."""
        ...

    def end(self) -> Sequence[Filtered]:
        """What was held back: nothing follows."""
        ...


class Filters:
    """Filters behind one another. What one of them annotated passes the others as it is."""

    def __init__(self, filters: Sequence[TextFilter]) -> None:
        self._filters = filters

    def feed(self, text: str) -> Sequence[Filtered]:
        return self._from(0, [text])

    def end(self) -> Sequence[Filtered]:
        found: list[Filtered] = []
        for at, each in enumerate(self._filters):
            found += self._from(at + 1, each.end())
        return found

    def _from(self, first: int, pieces: Sequence[Filtered]) -> Sequence[Filtered]:
        for each in self._filters[first:]:
            pieces = [found for piece in pieces for found in _through(each, piece)]
        return pieces


def _through(each: TextFilter, piece: Filtered) -> Sequence[Filtered]:
    return each.feed(piece) if isinstance(piece, str) else (piece,)
