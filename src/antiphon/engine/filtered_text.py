"""A text of a message that is read through filters on its way."""

from collections.abc import Sequence
from typing import NamedTuple

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
        self._noted: list[_Noted] = []

    def feed(self, text: str, logprobs: Sequence[Logprob] = ()) -> None:
        self._logprobs += logprobs
        self._take(self._through.feed(text))

    def annotate(self, annotation: Annotation, given: str) -> None:
        """Annotate the text as it was `given` so far. What came of the passage is known at the end."""
        self._noted.append(_noted(annotation, given))

    def end(self) -> None:
        """The model says no more here."""
        self._take(self._through.end())
        noted, self._noted = self._noted, []
        said = self._message.said if noted else ""
        for each in noted:
            if (annotation := _moved(each, said)) is not None:
                self._message.annotate(annotation)

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


class _Noted(NamedTuple):
    """An annotation of a text before it was filtered."""

    annotation: Annotation
    passage: str
    """What it is about."""
    before: int
    """How often the same stands before it."""


def _noted(annotation: Annotation, given: str) -> _Noted:
    if not isinstance(annotation, UrlCitation | ContainerFileCitation):
        return _Noted(annotation, "", 0)
    passage = given[annotation.start_index : annotation.end_index]
    return _Noted(annotation, passage, given[: annotation.start_index].count(passage) if passage else 0)


def _moved(noted: _Noted, said: str) -> Annotation | None:
    """The annotation of the filtered text; None: the passage is not there any more."""
    annotation, passage, before = noted
    if not isinstance(annotation, UrlCitation | ContainerFileCitation):
        return replace(annotation, index=min(annotation.index, len(said)))
    start = -len(passage)
    for _ in range(before + 1):
        start = said.find(passage, start + len(passage))
        if start < 0:
            return None
    return replace(annotation, start_index=start, end_index=start + len(passage))
