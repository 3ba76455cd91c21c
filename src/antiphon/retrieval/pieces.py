"""The pieces of a text: sentences, lines, headings. A chunk is cut between pieces, never within one.

Pieces follow each other without a gap, so that whatever is cut between them is a slice of the text. A text is
read once, a few thousand characters at a time: 50 MB take as much memory as 50 KB.
"""

import re
from collections.abc import Iterable, Iterator
from enum import IntEnum
from itertools import islice
from pathlib import PurePath
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from antiphon.retrieval.tokens import CHARACTERS, count

Kind = Literal["prose", "markdown", "code", "table", "pages"]
"""How a text is cut: `pages` is prose with a form feed between two pages; lines of a `table` stay whole."""

_KINDS: dict[str, Kind] = {
    ".pdf": "pages",
    # What is turned into markdown when it is read is cut as such.
    **dict.fromkeys((".md", ".markdown", ".mdx", ".html", ".htm", ".epub", ".rtf"), "markdown"),
    **dict.fromkeys((".docx", ".doc", ".odt", ".pptx", ".ppt", ".odp"), "markdown"),
    **dict.fromkeys((".csv", ".tsv", ".xlsx", ".xls", ".ods"), "table"),
    **dict.fromkeys((".c", ".cc", ".cpp", ".h", ".cs", ".go", ".java", ".kt", ".rs", ".swift"), "code"),
    **dict.fromkeys((".js", ".jsx", ".ts", ".tsx", ".css", ".json", ".xml", ".yaml", ".yml"), "code"),
    **dict.fromkeys((".py", ".rb", ".php", ".pl", ".lua", ".r", ".scala", ".sh", ".sql"), "code"),
    **dict.fromkeys((".tex", ".toml", ".ini", ".cfg"), "code"),
}

_LONGEST_LINE = 4096
"""Characters. What has longer lines is cut at a space, or anywhere."""
_LONGEST_HEADING = 100
"""Characters."""
_AT_ONCE = 256
"""Pieces whose tokens are counted together."""

_HEADING = re.compile(r"(#{1,6})[ \t]+(\S.*)")
_UNDERLINE = re.compile(r"([=\-~^*+#\"'.])\1{2,}\s*")
_FENCE = re.compile(r"\s{0,3}(```|~~~)")
_SENTENCE = re.compile(r"""[.!?…]["')\]’”]*\s+(?=[^\sa-z])|[。！？]+""")


class Border(IntEnum):
    """How well a text can be cut before a piece."""

    WORD = 0
    LINE = 1
    SENTENCE = 2
    PARAGRAPH = 3
    HEADING = 4


class Piece(Struct, frozen=True, gc=False):
    start: int
    end: int
    """Characters of the text."""
    border: Border
    """Before it."""
    level: int = 0
    """Of a heading: 1 is the highest; 0: it is none."""
    tokens: int = 0
    headings: str = ""
    """What it stands under, itself included: `Install > On Windows`."""


def kind_of(filename: str) -> Kind:
    """How the text of a file is cut."""
    return _KINDS.get(PurePath(filename).suffix.lower(), "prose")


def pieces(text: str, kind: Kind, most: int) -> Iterator[Piece]:
    """The pieces of a text, none with more than `most` tokens."""
    cut = _LINES[kind](text) if kind in _LINES else _prose(text, kind)
    headings = _Headings()
    for piece in _counted(text, _shortened(cut, most * CHARACTERS), most):
        if piece.level:
            headings.add(piece.level, text[piece.start : piece.end])
        yield replace(piece, headings=headings.path)


class _Headings:
    """Those that the text at a place stands under."""

    def __init__(self) -> None:
        self.path = ""
        self._open: list[tuple[int, str]] = []

    def add(self, level: int, line: str) -> None:
        words = line.strip().strip("#").strip()[:_LONGEST_HEADING]
        self._open = [(outer, name) for outer, name in self._open if outer < level]
        self._open.append((level, words))
        self.path = " > ".join(name for _, name in self._open)


def _counted(text: str, cut: Iterator[Piece], most: int) -> Iterator[Piece]:
    while batch := list(islice(cut, _AT_ONCE)):
        counts = count([text[piece.start : piece.end] for piece in batch])
        for piece, tokens in zip(batch, counts, strict=True):
            if tokens <= most:
                yield replace(piece, tokens=tokens)
            else:
                yield from _parts(text, piece, tokens, most)


def _shortened(cut: Iterable[Piece], longest: int) -> Iterator[Piece]:
    for piece in cut:
        for start in range(piece.start, piece.end, longest):
            first = start == piece.start
            end = min(start + longest, piece.end)
            yield Piece(start, end, piece.border if first else Border.WORD, piece.level if first else 0)


def _parts(text: str, piece: Piece, tokens: int, most: int) -> Iterator[Piece]:
    """A piece with too many tokens, cut at spaces into about equal parts."""
    step = max(1, (piece.end - piece.start) * most // (tokens + most // 4 + 1))
    start, border, level = piece.start, piece.border, piece.level
    while start < piece.end:
        end = _before_word(text, start, min(start + step, piece.end), piece.end)
        size = count([text[start:end]])[0]
        if size > most and end - start > 1:
            step = max(1, step // 2)
            continue
        yield Piece(start, end, border, level, size)
        start, border, level = end, Border.WORD, 0


def _before_word(text: str, start: int, end: int, last: int) -> int:
    """Where to cut at or before `end`: behind the last space of the second half, if there is one."""
    if end >= last:
        return last
    space = text.rfind(" ", start + (end - start) // 2, end)
    return end if space < 0 else space + 1


def lines(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each line, its end of line included."""
    start, size = 0, len(text)
    while start < size:
        end = text.find("\n", start, start + _LONGEST_LINE) + 1
        if not end:
            end = _before_word(text, start, min(start + _LONGEST_LINE, size), size)
        yield start, end
        start = end


def _code(text: str) -> Iterator[Piece]:
    """Lines. What stands at the margin behind a blank line begins something new."""
    blank = True
    for start, end in lines(text):
        line = text[start:end]
        border = Border.LINE
        if blank:
            border = Border.SENTENCE if line[:1].isspace() or line[0] in ")}]" else Border.HEADING
        blank = line.isspace()
        yield Piece(start, end, Border.LINE if blank else border)


def _table(text: str) -> Iterator[Piece]:
    for start, end in lines(text):
        yield Piece(start, end, Border.SENTENCE)


_LINES = {"code": _code, "table": _table}


def _prose(text: str, kind: Kind) -> Iterator[Piece]:
    reader = _Prose(text, marks=kind == "markdown")
    for start, end in lines(text):
        yield from reader.read(start, end)


class _Prose:
    """Reads prose line by line. `marks`: a line that begins with # is a heading."""

    def __init__(self, text: str, marks: bool) -> None:
        self._text = text
        self._marks = marks
        self._fence = ""
        self._next = Border.HEADING
        """Before the next line, unless that is a better place itself."""

    def read(self, start: int, end: int) -> Iterator[Piece]:
        line = self._text[start:end]
        if line.isspace():
            border = Border.HEADING if "\f" in line else Border.PARAGRAPH
            yield Piece(start, end, Border.LINE)
            self._next = max(self._next, Border.SENTENCE if self._fence else border)
            return
        border, self._next = self._next, Border.LINE
        if self._marks and self._toggles_fence(line):
            yield Piece(start, end, border)
            return
        level = 0 if self._fence else self._level(line, end)
        if level or line[0] == "\f":
            border = Border.HEADING
        yield from self._sentences(line, start, border, level)

    def _toggles_fence(self, line: str) -> bool:
        mark = _FENCE.match(line)
        if not mark or (self._fence and self._fence != mark[1]):
            return False
        self._fence = "" if self._fence else mark[1]
        return True

    def _level(self, line: str, end: int) -> int:
        """Of the heading that a line is: by its marks, or by the line under it."""
        if self._marks and (heading := _HEADING.match(line)):
            return len(heading[1])
        if line[0].isspace() or _UNDERLINE.fullmatch(line):
            return 0
        under = self._text[end : end + _LONGEST_LINE].partition("\n")[0]
        mark = _UNDERLINE.fullmatch(under)
        if mark and len(under.strip()) >= min(len(line.strip()), 3):
            return 1 if mark[1] in "=*#" else 2
        return 0

    def _sentences(self, line: str, start: int, border: Border, level: int) -> Iterator[Piece]:
        begun = 0
        if not (level or self._fence):
            for end in _SENTENCE.finditer(line):
                yield Piece(start + begun, start + end.end(), border)
                begun, border = end.end(), Border.SENTENCE
        if begun < len(line):
            yield Piece(start + begun, start + len(line), border, level)
