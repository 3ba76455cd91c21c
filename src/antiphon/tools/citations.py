"""Citations: the marks with which a model says where it has something from become annotations.

What was found stands under a number, with the mark `【n】` before it, and the model writes the mark behind
what it takes from there. A number stands for one thing as long as a response is made, be it of an earlier
turn.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Protocol

from antiphon.protocol.content import Annotation
from antiphon.stream.filters import Annotated, Filtered

_NUMBERS = r"[\d\s,;:、，\-–#^]"
_SOME = rf"(?={_NUMBERS}{{0,59}}\d){_NUMBERS}{{1,60}}"
_MARK = re.compile(rf"【({_SOME})(?:†[^【】\n]{{0,80}})?】|\[({_SOME})†[^\[\]\n]{{0,80}}\]")
"""Models write more than they are asked for: `【3†source】`, `【3:0†a】`, `【3†L1-L2】`, `【1, 2】`. Other
brackets are text without a dagger: an index of a list, a link, a footnote."""
_BEGUN = re.compile(
    rf"【{_NUMBERS}{{0,60}}(?:†[^【】\n]{{0,80}})?\Z|\[{_NUMBERS}{{0,60}}(?:†[^\[\]\n]{{0,80}})?\Z"
)
"""What may become a mark."""
_OPENS = re.compile(r"[【\[]")
_NUMBER = re.compile(r"(\d{1,9})(?::\d+)?(?:\s*[-–]\s*(\d{1,9}))?")


def mark(number: int) -> str:
    return f"【{number}】"


def unmarked(text: str) -> str:
    """A text that the model reads, in which nothing looks like a mark of ours."""
    return _MARK.sub(lambda found: f"({found[1] or found[2]})", text)


class Source(Protocol):
    """What can be cited."""

    @property
    def shown(self) -> str:
        """What stands in the text in place of the mark; empty: nothing."""

    def cited(self, start: int, end: int) -> Annotation:
        """It is cited at a place of a text, in characters: where `shown` is."""


class Sources:
    """All that the model can cite in one response, numbered from 1, whichever tool it is from."""

    def __init__(self) -> None:
        self._sources: list[Source] = []

    def __len__(self) -> int:
        return len(self._sources)

    def add(self, sources: Sequence[Source]) -> int:
        """Number more of them. Gives the first number."""
        first = len(self._sources) + 1
        self._sources += sources
        return first

    def cited(self, numbers: str) -> Iterator[Source]:
        """Those that a mark names. What has no such number is left out."""
        for found in _NUMBER.finditer(numbers):
            first, last = int(found[1]), int(found[2] or found[1])
            yield from self._sources[max(first, 1) - 1 : last]


class Citations:
    """A `TextFilter`: marks are cut, and what they name is annotated where they stood. What is shown in place
    of a mark stands apart from the word before it."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._held = ""
        self._last = " "
        """The character in front of what is fed next."""

    def feed(self, text: str) -> Sequence[Filtered]:
        text, self._held = self._held + text, ""
        found: list[Filtered] = []
        done = place = 0
        while opened := _OPENS.search(text, place):
            place = opened.start()
            if whole := _MARK.match(text, place):
                before = text[done:place]
                self._last = before[-1:] or self._last
                found += (before, *self._annotations(whole[1] or whole[2]))
                done = place = whole.end()
            elif _BEGUN.match(text, place):
                self._held, text = text[place:], text[:place]
            else:
                place += 1
        self._last = text[done:][-1:] or self._last
        return [*found, text[done:]]

    def end(self) -> Sequence[Filtered]:
        held, self._held = self._held, ""
        return [held]

    def _annotations(self, numbers: str) -> Iterator[Filtered]:
        for source in self._sources.cited(numbers):
            if source.shown and not self._last.isspace():
                yield " "
            self._last = source.shown[-1:] or self._last
            yield Annotated(source.shown, source.cited)
