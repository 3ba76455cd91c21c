"""Searches in vector stores as PostgreSQL does them: words in a `tsvector` for each chunk, and attributes.

PostgreSQL's own ranks do not know how common a word is, and are of little use beside meanings (retrieval.md
section 3 has the figures). But all that bm25 needs is there: how many chunks have a word is counted by the
index, how often a chunk has it can be had from `ts_rank`. So scores are FTS5's, and mean the same.

`antiphon_words` is a configuration of our own, with FTS5's stems and without words that are left out. What is
not a letter or a digit is taken out before, since PostgreSQL would take `os.path` for a host.

The index is one for all stores. Each chunk has the name of its store as one more word, which every question
asks for: so a search reads what its own store has, and counts nothing of anybody else's.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence

import msgspec

from antiphon.retrieval import filters, lexical
from antiphon.retrieval.filters import Filter
from antiphon.retrieval.lexical import Expression
from antiphon.store import vector_chunks
from antiphon.store.statements import Rows, Statement, Steps
from antiphon.store.vector_words import Words

MOST_ROWS = 5_000
"""Rows that are ranked for one question, about. A row costs three times what it costs FTS5."""
_AT_ONCE = 200
"""Files whose attributes are looked at in one go: 30 ms with the largest filter."""
_UNSAID = re.compile(r"[\W_]+")
_K1, _B = 1.2, 0.75
"""What FTS5 has in its bm25."""
_LEAST = 1e-6
"""What a word counts that most chunks have."""
# ts_rank adds 1/n² for the n-th time that a word is there, and divides by what all of them add up to. What is
# missing from 1 tells how often that was. What is asked as a phrase counts once.
_TIMES = """
    CASE WHEN numnode(q.words) > 1 THEN 1
    ELSE 1 / (1.64493406685 * (1 - least(ts_rank('{1, 1, 1, 1}', found.words, q.words), 0.998))) - 0.5 END"""


def insert(project: str, entry: int, rows: Sequence[Words]) -> Steps[Rows]:
    """What a chunk stands under counts twice, so it is there twice."""
    keys = [key for key, *_ in rows]
    texts = [(_folded(about), _folded(own)) for _, about, own in rows]
    sql = """
        INSERT INTO vector_words (key, entry, length, words)
        SELECT key, $1, length, to_tsvector('antiphon_words', words) || array_to_tsvector(ARRAY[store])
        FROM unnest(CAST($2 AS BIGINT[]), CAST($3 AS BIGINT[]), CAST($4 AS TEXT[]), CAST($5 AS TEXT[]))
            AS given (key, length, words, store)"""
    lengths = [len(about.split()) + len(own.split()) for about, own in texts]
    stores = [_name(vector_chunks.store_of(key)) for key in keys]
    values = (entry, keys, lengths, [f"{about} {about} {own}" for about, own in texts], stores)
    yield Statement(sql, values)
    return []


def delete(project: str, rows: Sequence[Words]) -> Steps[Rows]:
    sql = "DELETE FROM vector_words WHERE key = ANY(CAST($1 AS BIGINT[]))"
    return (yield Statement(sql, ([key for key, *_ in rows],)))


def find(
    project: str, store: int, expression: Expression, count: int, entries: Sequence[int] | None
) -> Steps[Rows]:
    asked = yield from _counted(project, store, expression)
    if not asked:
        return []
    kept = lexical.affordable([rows for _, rows, _ in asked], MOST_ROWS)
    words = [word for place, (word, *_) in enumerate(asked) if place in kept]
    weights = [_weight(rows, of) for place, (_, rows, of) in enumerate(asked) if place in kept]
    any_of = f"'{_name(store)}' & ({' | '.join(f'({word})' for word in words)})"
    sql = f"""
        WITH found AS MATERIALIZED (
            SELECT key, words, length / nullif(avg(length) OVER (), 0) AS length FROM vector_words
            WHERE words @@ CAST($1 AS tsquery) AND entry IN (
                SELECT f.key FROM vector_store_files AS f JOIN vector_stores AS s ON s.key = f.store
                WHERE s.key = $2 AND s.project_id = $7 AND f.status = 'completed'
                    AND (CAST($3 AS BIGINT[]) IS NULL OR f.key = ANY(CAST($3 AS BIGINT[])))))
        SELECT key, (
            SELECT CAST(sum(weight * n * {_K1 + 1} / (n + {_K1} * ({1 - _B} + {_B} * length))) AS FLOAT8)
            FROM unnest(CAST($4 AS tsquery[]), CAST($5 AS FLOAT8[])) AS q (words, weight),
                LATERAL (SELECT {_TIMES} AS n) AS times
            WHERE found.words @@ q.words) AS score
        FROM found ORDER BY score DESC, key LIMIT $6"""
    among = list(entries) if entries is not None else None
    return (yield Statement(sql, (any_of, store, among, words, weights, count, project)))


def forget(project: str) -> Steps[Rows]:
    """What was deleted is gone: the database's own vacuum gives its place back."""
    yield from ()
    return []


def fitting(store: int, wanted: Filter) -> Steps[Rows]:
    """PostgreSQL's JSON has no NUL, and an order of its own for texts and numbers: so attributes are looked
    at here, a few at a time, since this runs on the event loop."""
    filters.check(wanted)
    sql = """
        SELECT key, file, CASE status WHEN 'completed' THEN attributes END FROM vector_store_files
        WHERE store = $1 AND file > $2 ORDER BY file LIMIT $3"""
    found: Rows = []
    after = -1
    while rows := (yield Statement(sql, (store, after, _AT_ONCE))):
        known = ((key, msgspec.json.decode(text)) for key, _, text in rows if text is not None)
        found += ((key,) for key, attributes in known if filters.fits(wanted, attributes))
        after = rows[-1][1]
    return found


RULES: Mapping[str, Callable[..., Steps[Rows]]] = {
    "insert_words": insert,
    "delete_words": delete,
    "find_words": find,
    "forget_words": forget,
    "fitting": fitting,
}
"""What `vector_words` and `vector_chunks` leave to a home."""


def _counted(project: str, store: int, expression: Expression) -> Steps[Rows]:
    """The words of a question as they are looked up, those that there are. Each with the chunks that have it
    (no more are counted than may be ranked), and with how many chunks the store has."""
    asked = [" <-> ".join(_folded(word).split()) for word in expression.words]
    said = [f"{text}:*" if lexical.is_prefix(text) else text for text in asked if text]
    sql = """
        SELECT CAST(q.words AS TEXT), (
            SELECT count(*) FROM (
                SELECT 1 FROM vector_words AS f WHERE f.words @@ (q.words && CAST($2 AS tsquery))
                LIMIT $3) AS counted), (
            SELECT CAST(coalesce(sum(f.chunks), 0) AS BIGINT)
            FROM vector_store_files AS f JOIN vector_stores AS s ON s.key = f.store
            WHERE s.key = $4 AND s.project_id = $5 AND f.status = 'completed')
        FROM unnest(CAST($1 AS TEXT[])) AS given (text),
            LATERAL (SELECT to_tsquery('antiphon_words', text) AS words OFFSET 0) AS q
        WHERE numnode(q.words) > 0"""
    return (yield Statement(sql, (said, f"'{_name(store)}'", MOST_ROWS + 1, store, project)))


def _weight(rows: int, of: int) -> float:
    """Of a word that is in so many chunks."""
    return max(_LEAST, math.log((max(of - rows, 0) + 0.5) / (rows + 0.5)))


def _name(store: int) -> str:
    """A word that no text has."""
    return f"/{store}"


def _folded(text: str) -> str:
    """Letters and digits, without the accents of Latin letters, with a blank for anything else."""
    apart = unicodedata.normalize("NFD", lexical.indexed(text))
    plain = "".join(character for character in apart if not "\u0300" <= character <= "\u036f")
    return _UNSAID.sub(" ", unicodedata.normalize("NFC", plain))
