"""Links into a container: `[label](sandbox:/mnt/data/name)` stays in the text, and the file that it leads to
is cited. So is every picture that was displayed, before all links and at no place of the text.

All citations stand behind the text, as on the real API (behaviours.md section 2): where a link stands is
known when it passes, and emitted when the text ends.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import PurePosixPath
from urllib.parse import unquote

from antiphon.protocol.content import Annotation, ContainerFileCitation
from antiphon.stream.filters import Annotated, Filtered
from antiphon.tools.containers import ContainerFile

Find = Callable[[str], ContainerFile | None]
"""The file at a path."""

_BEGIN = "](sandbox:/"
_PIECE = r"(?:[^()\n]|\([^()\n]{0,200}\))"
_TITLE = r"(?:[ \t]{1,8}\"[^\"()\n]{0,200}\")?"
"""Behind the path, as Markdown has it."""
_LINK = re.compile(rf"\]\((sandbox:(/{_PIECE}{{1,400}}?)){_TITLE}[ \t]{{0,8}}\)")
_BEGUN = re.compile(rf"\]\(sandbox:/{_PIECE}{{0,650}}(?:\([^()\n]{{0,200}})?\Z")
"""What may become a link."""


class SandboxLinks:
    """A `TextFilter` of one text. `pictures` are cited if there is any text, and taken out of the list."""

    def __init__(self, container_id: str, find: Find, pictures: list[ContainerFile]) -> None:
        self._container_id = container_id
        self._find = find
        self._pictures = pictures
        self._held = ""
        self._any = False
        self._cited: list[ContainerFileCitation] = []

    def feed(self, text: str) -> Sequence[Filtered]:
        self._any = self._any or bool(text)
        text, self._held = self._held + text, ""
        found: list[Filtered] = []
        done = place = 0
        while (place := text.find("]", place)) >= 0:
            if link := _LINK.match(text, place):
                found += self._linked(text[done : link.end()], link, link.start() - done)
                done = place = link.end()
            elif _may_become(text, place):
                self._held = text[place:]
                return [*found, text[done:place]]
            else:
                place += 1
        return [*found, text[done:]]

    def end(self) -> Sequence[Filtered]:
        held, self._held = self._held, ""
        return [held, *(Annotated("", partial(_as_it_is, each)) for each in self._citations())]

    def _linked(self, text: str, link: re.Match[str], at: int) -> Iterator[Filtered]:
        """A text that ends with a link."""
        file = self._find(link[2]) or self._find(unquote(link[2]))
        if file is None:
            yield text
            return
        begin = at + len("](")
        yield text[:begin]
        yield Annotated(link[1], partial(self._cite, file))
        yield text[begin + len(link[1]) :]

    def _cite(self, file: ContainerFile, start: int, end: int) -> None:
        """It is cited when the text has ended."""
        self._cited.append(self._citation(file, start, end))

    def _citations(self) -> Iterator[ContainerFileCitation]:
        if self._any:
            for picture in self._pictures:
                yield self._citation(picture, 0, 0)
            self._pictures.clear()
        yield from self._cited
        self._cited = []

    def _citation(self, file: ContainerFile, start: int, end: int) -> ContainerFileCitation:
        return ContainerFileCitation(
            container_id=self._container_id,
            file_id=file.id,
            filename=PurePosixPath(file.path).name,
            start_index=start,
            end_index=end,
        )


def _may_become(text: str, place: int) -> bool:
    return _BEGIN.startswith(text[place : place + len(_BEGIN)]) and (
        len(text) - place < len(_BEGIN) or _BEGUN.match(text, place) is not None
    )


def _as_it_is(citation: Annotation, _start: int, _end: int) -> Annotation:
    return citation
