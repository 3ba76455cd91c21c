"""A text in chunks: what a search finds, and what a model reads of it.

A chunk has a part of its own, and on both sides some of what its neighbours own: so two neighbours have
`overlap` tokens in common, and what stands at a border is read in its context. Only the own part is searched.
So every sentence is found in one chunk, and not in two that differ by their edges.

The embedder reads less than a chunk at once, and one vector for many topics is near to none of them: the own
part has a vector for each of its passages, and is as near to a question as the nearest of them.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from msgspec import Struct

from antiphon.retrieval.pieces import Border, Kind, Piece, pieces

SIZE = 800
OVERLAP = 400
"""Tokens: what the API's strategy `auto` stands for."""
PASSAGE = 128
"""Tokens of a text that one vector stands for, without what it stands under. With more it is blurred; fewer
cost memory and are no better (retrieval.md has the figures)."""


def title_of(filename: str) -> str:
    """What a file's name says, in words: `user guide` for `user-guide.pdf`."""
    return " ".join(re.findall(r"[^\W_]+", filename.rpartition(".")[0] or filename))


class Passage(Struct, frozen=True, gc=False):
    """What has a vector."""

    start: int
    end: int
    """Characters of the text."""
    headings: str
    """What it stands under: `Install > On Windows`."""


class Chunk(Struct, frozen=True):
    number: int
    start: int
    end: int
    text: str
    tokens: int
    own_start: int
    own_end: int
    """Of its own part. This and the other places are characters of the whole text."""
    passages: tuple[Passage, ...]
    """Of its own part, without gaps."""

    @property
    def own(self) -> str:
        """Its own part: what words are searched in."""
        return self.text[self.own_start - self.start : self.own_end - self.start]

    def about(self, title: str) -> str:
        """What its own part stands under."""
        return " ".join(dict.fromkeys((title, *(passage.headings for passage in self.passages))))

    def embedded(self, title: str) -> list[str]:
        """What is embedded for each passage: the title of the document and the headings tell what a passage
        is about that does not say so itself."""
        return [self._embedded(title, passage) for passage in self.passages]

    def _embedded(self, title: str, passage: Passage) -> str:
        words = self.text[passage.start - self.start : passage.end - self.start].strip()
        about = f"{title}: {passage.headings}" if title else passage.headings
        return f"{about}\n{words}" if about else words


def chunks(
    text: str, kind: Kind = "prose", size: int = SIZE, overlap: int = OVERLAP, passage: int = PASSAGE
) -> Iterator[Chunk]:
    """The chunks of a text in their order, made one after the other: of at most `size` tokens, up to
    `overlap` of them in common with the next. A text without words has none. `passage`: tokens of a passage
    at most."""
    margin = overlap // 2
    own = size - 2 * margin
    before: Sequence[Piece] = ()
    number = 0
    for part, after in _with_next(_parts(pieces(text, kind, min(own, passage)), size, own)):
        if not _blank(text, part):
            passages = tuple(_passages(text, part, passage))
            yield _chunk(text, number, (before, part, _first(after, margin)), passages)
            number += 1
        before = _last([*before, *part], margin)


def packed(flow: Iterable[Piece], most: int) -> Iterator[list[Piece]]:
    """Pieces that follow each other, as many together as have `most` tokens. Each group ends at the best
    border of its second half."""
    group: list[Piece] = []
    tokens = 0
    for piece in flow:
        while group and tokens + piece.tokens > most:
            cut = _best_cut(group, piece, tokens)
            yield group[:cut]
            group = group[cut:]
            tokens = sum(one.tokens for one in group)
        group.append(piece)
        tokens += piece.tokens
    if group:
        yield group


def _best_cut(group: Sequence[Piece], following: Piece, tokens: int) -> int:
    """Behind how many pieces a group is cut."""
    best, border, rest = len(group), following.border, tokens
    for index in range(len(group) - 1, 0, -1):
        rest -= group[index].tokens
        if rest < tokens // 2:
            break
        if group[index].border > border:
            best, border = index, group[index].border
    return best


def _parts(flow: Iterator[Piece], size: int, own: int) -> Iterator[list[Piece]]:
    """What each chunk owns. A text that fits into one chunk is not cut."""
    begun: list[Piece] = []
    tokens = 0
    for piece in flow:
        begun.append(piece)
        tokens += piece.tokens
        if tokens > size:
            return packed(chain(begun, flow), own)
    return iter([begun] if begun else [])


def _with_next(parts: Iterator[list[Piece]]) -> Iterator[tuple[list[Piece], list[Piece]]]:
    part = next(parts, None)
    while part is not None:
        following = next(parts, None)
        yield part, following or []
        part = following


def _last(group: Sequence[Piece], most: int) -> list[Piece]:
    """The last pieces with `most` tokens together, from the beginning of a sentence on if there is one."""
    begin, tokens = len(group), 0
    while begin > 0 and tokens + group[begin - 1].tokens <= most:
        begin -= 1
        tokens += group[begin].tokens
    well = (index for index in range(begin, len(group)) if group[index].border >= Border.SENTENCE)
    return list(group[next(well, begin) :])


def _first(group: Sequence[Piece], most: int) -> list[Piece]:
    """The first pieces with `most` tokens together."""
    end, tokens = 0, 0
    while end < len(group) and tokens + group[end].tokens <= most:
        tokens += group[end].tokens
        end += 1
    return list(group[:end])


def _passages(text: str, part: Sequence[Piece], most: int) -> Iterator[Passage]:
    for group in packed(part, most):
        if not _blank(text, group):
            yield Passage(group[0].start, group[-1].end, group[0].headings)


def _blank(text: str, group: Sequence[Piece]) -> bool:
    return text[group[0].start : group[-1].end].isspace()


def _chunk(
    text: str, number: int, group: tuple[Sequence[Piece], ...], passages: tuple[Passage, ...]
) -> Chunk:
    """`group`: what stands before the own part, the own part, and what stands behind it."""
    everything = [piece for pieces in group for piece in pieces]
    start, end = everything[0].start, everything[-1].end
    tokens = sum(piece.tokens for piece in everything)
    own = group[1]
    return Chunk(number, start, end, text[start:end], tokens, own[0].start, own[-1].end, passages)
