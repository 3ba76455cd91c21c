"""Words: which of a question are looked up, and how FTS5 is asked for them.

A table has two columns: what a chunk stands under (title and headings), and its own part. Words are stemmed
as English ones, without accents and capitals. Languages that are written without spaces are cut into pairs
of characters, in texts and questions alike, since FTS5 would take a whole sentence for one word.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from msgspec import Struct

CREATE = """CREATE VIRTUAL TABLE {table} USING fts5(
    about, body, content='', tokenize="porter unicode61 remove_diacritics 2")"""
"""It keeps no text. `{table}` is filled in."""
INSERT = "INSERT INTO {table}(rowid, about, body) VALUES ($1, $2, $3)"
DELETE = "INSERT INTO {table}({table}, rowid, about, body) VALUES ('delete', $1, $2, $3)"
"""With what was inserted: both columns have to be made again from the chunk."""
RANK = "INSERT INTO {table}({table}, rank) VALUES ('rank', 'bm25(2.0, 1.0)')"
"""Said once after `CREATE`: what a chunk stands under counts twice."""
SEARCH = "SELECT rowid, -rank FROM {table} WHERE {table} MATCH $1 ORDER BY rank LIMIT $2"
"""The best rows for an expression, with their scores: bm25, above 0."""
WORD = 10.0
"""The bm25 of a rare word that is found, about: a question can have so much for each of its words."""

COUNT = "SELECT count(*) FROM {table} WHERE {table} MATCH $1"
"""How many rows a term is in: some tens of microseconds, where ranking takes one for each row."""
MOST_ROWS = 10_000
"""Rows that are ranked for one question, about: terms that would make them more are left out, the most common
first."""

MOST_WORDS = 64
"""Of a question: what comes behind them is not looked up."""

_WORD = re.compile(r"\w+")
_UNSPACED = re.compile("[぀-ヿ㐀-鿿豈-﫿ก-๛ກ-ໟက-႟ក-៿\U00020000-\U0003ffff]+")
# Words that most texts have say little, and cost most: half of all rows would be ranked for each of them.
_COMMON_WORDS = """
a about an and any are as at be been but by can could did do does for from had has have how i if in
into is it its me my no not of on or our s should so t than that the their them then there these they
this those to was we were what when where which who whom whose why will with would you your"""
_COMMON = frozenset(_COMMON_WORDS.split())


def indexed(text: str) -> str:
    """A text as it goes into a column."""
    return _UNSPACED.sub(lambda found: f" {' '.join(_pairs(found[0]))} ", text)


class Expression(Struct, frozen=True):
    """A question: any of its words."""

    words: tuple[str, ...]

    @property
    def terms(self) -> list[str]:
        """The words for FTS5, each an expression of its own, for `COUNT`."""
        return [f'"{word}"*' if is_prefix(word) else f'"{word}"' for word in self.words]

    @property
    def text(self) -> str:
        return " OR ".join(self.terms)

    def affordable(self, counts: Sequence[int]) -> str:
        """The expression that costs no more than it may, in a table where each word is in so many rows."""
        kept = affordable(counts, MOST_ROWS)
        return " OR ".join(term for place, term in enumerate(self.terms) if place in kept)

    def share(self, bm25: float) -> float:
        """How much of what was asked a row has, from 0 to 1."""
        return min(bm25 / (WORD * len(self.words)), 1.0)


def expression(question: str) -> Expression | None:
    """No input is an error; None: it has no words."""
    words = list(dict.fromkeys(_words(question)))
    telling = ([word for word in words if word not in _COMMON] or words)[:MOST_WORDS]
    return Expression(tuple(telling)) if telling else None


def is_prefix(word: str) -> bool:
    """A character that was cut out of a run stands at the beginning of a pair."""
    return len(word) == 1 and bool(_UNSPACED.match(word))


def affordable(counts: Sequence[int], most: int) -> set[int]:
    """The places of the words that bring no more than so many rows to rank, where each is in so many. The
    rarest is always among them, and what is in no row costs nothing."""
    ordered = sorted(range(len(counts)), key=lambda place: counts[place])
    rows = accumulate(counts[place] for place in ordered)
    kept = {place for place, sum_ in zip(ordered, rows, strict=True) if sum_ <= most}
    return kept | {next((place for place in ordered if counts[place]), ordered[0])}


def _words(question: str) -> Iterator[str]:
    for found in _WORD.finditer(indexed(question)):
        yield found[0].lower()


def _pairs(run: str) -> Iterator[str]:
    if len(run) == 1:
        yield run
    for left, right in pairwise(run):
        yield left + right
