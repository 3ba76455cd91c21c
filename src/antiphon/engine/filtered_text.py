"""A text of a message that is read through filters on its way."""

from collections.abc import Sequence

from msgspec.structs import replace

from antiphon.protocol.content import Annotation, ContainerFileCitation, Logprob, UrlCitation
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
        self._given: list[str] = []
        self._said: list[str] = []
        self._noted: list[Annotation] = []
        """Annotations of the text as it was given, where it is counted otherwise."""

    def feed(self, text: str, logprobs: Sequence[Logprob] = ()) -> None:
        self._logprobs += logprobs
        self._given.append(text)
        self._take(self._through.feed(text))

    def annotate(self, annotation: Annotation) -> None:
        """Annotate the text as it was given. What came of that is known when all of it is there."""
        self._noted.append(annotation)

    def end(self) -> None:
        """The model says no more here."""
        self._take(self._through.end())
        noted, self._noted = self._noted, []
        given, said = "".join(self._given), "".join(self._said)
        for annotation in noted:
            if (moved := _moved(annotation, given, said)) is not None:
                self._message.annotate(moved)

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
            self._said.append(text)
            self._length += len(text)

    def _annotate(self, piece: Annotated) -> None:
        start = self._length
        self._say(piece.text)
        annotation = piece.annotation(start, self._length)
        if annotation is not None:
            self._message.annotate(annotation)


def _moved(annotation: Annotation, given: str, said: str) -> Annotation | None:
    """An annotation of one text for what a filter has made of it; None: the passage is not there any more."""
    if not isinstance(annotation, UrlCitation | ContainerFileCitation):
        return replace(annotation, index=min(annotation.index, len(said)))
    passage = given[annotation.start_index : annotation.end_index]
    before = given[: annotation.start_index].count(passage) if passage else 0
    start = -len(passage)
    for _ in range(before + 1):
        start = said.find(passage, start + len(passage))
        if start < 0:
            return None
    return replace(annotation, start_index=start, end_index=start + len(passage))
