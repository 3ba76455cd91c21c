"""The words of what is searched in vector stores. No two databases search texts alike: each home has these
rules in a way of its own (`sqlite/searches.py`, `postgres/searches.py`).

Whatever the home, scores are bm25 as FTS5 has it: over the project's chunks or over the store's, with what a
chunk stands under counted twice. So a score means the same everywhere.
"""

from collections.abc import Sequence

from antiphon.retrieval.lexical import Expression
from antiphon.store.statements import Own, Steps

Words = tuple[int, str, str]
"""The key of a chunk, what it stands under, and its own part."""


def insert(project: str, entry: int, rows: Sequence[Words]) -> Steps[None]:
    """Of chunks of one file."""
    yield Own("insert_words", (project, entry, rows))


def delete(project: str, rows: Sequence[Words]) -> Steps[None]:
    yield Own("delete_words", (project, rows))


def find(
    project: str, store: int, expression: Expression, count: int, entries: Sequence[int] | None
) -> Steps[dict[int, float]]:
    """The best chunks of a store that may be found, with their bm25. `entries`: only of these."""
    return dict((yield Own("find_words", (project, store, expression, count, entries))))


def forget(project: str) -> Steps[bool]:
    """Of what was deleted, where that is only marked. Gives whether there is more to do."""
    return bool((yield Own("forget_words", (project,))))
