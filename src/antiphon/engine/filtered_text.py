"""A text of a message that is read through filters on its way."""

from collections.abc import Sequence

from antiphon.protocol.content import Logprob
from antiphon.stream.filters import Annotated, Filtered, TextFilter
from antiphon.stream.items import OpenMessage


class FilteredText:
    """One text part of a message."""

    def __init__(self, message: OpenMessage, through: TextFilter) -> None:
        self._message = message
        self._through = through
        self._length = 0
        """Characters of the part so far."""
        self._logprobs: list[Logprob] = []
        """Those of text that is held back, or was cut."""

    def feed(self, text: str, logprobs: Sequence[Logprob] = ()) -> None:
        self._logprobs += logprobs
        self._take(self._through.feed(text))

    def end(self) -> None:
        """The model says no more here."""
        self._take(self._through.end())

    def _take(self, found: Sequence[Filtered]) -> None:
        for piece in found:
            if isinstance(piece, Annotated):
                self._annotate(piece)
            else:
                self._say(piece)

    def _say(self, text: str) -> None:
        if text:
            self._message.text(text, self._logprobs)
            self._logprobs = []
            self._length += len(text)

    def _annotate(self, piece: Annotated) -> None:
        start = self._length
        self._say(piece.text)
        annotation = piece.annotation(start, self._length)
        if annotation is not None:
            self._message.annotate(annotation)
