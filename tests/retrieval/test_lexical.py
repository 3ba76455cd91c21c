"""The lexical half of a search: words in FTS5, whatever is asked."""

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.retrieval.lexical import (
    COUNT,
    CREATE,
    DELETE,
    INSERT,
    MOST_ROWS,
    MOST_WORDS,
    RANK,
    SEARCH,
    WORD,
    expression,
    indexed,
)

TEXTS = {
    1: ("fruit", "Apples and pears are kept in a cool cellar."),
    2: ("engines", "The NPM_LIFECYCLE_EVENT variable names the running stage."),
    3: ("数据库", "向量数据库存储嵌入。猫が好きです。"),
    4: ("café", "Résumés are stored for ninety days."),
}
HOSTILE = [
    'apple" OR body:*',
    "NEAR(apple pear, 2)",
    "OR NOT",
    "apple AND",
    "-apple +pear ^cellar",
    "{about body}: apple",
    "about : apple",
    "apple*",
    "'; DROP TABLE words; --",
    "\0apple\0",
    "\ud800apple",
    "_ __ ___",
    "ᾭ ꙮ 𝔄 ² ½ Ⅷ ࢠ",
    '"',
    "a" * 100_000,
    "word " * 10_000,
    "a_" * 8_000,
]
"""Questions with which something else could be meant."""


def bound(*values: object) -> dict[str, object]:
    return {str(number): value for number, value in enumerate(values, 1)}


@pytest.fixture(scope="module")
def table() -> Iterator[sqlite3.Connection]:
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.execute(CREATE.format(table="words"))
    for row, (about, body) in TEXTS.items():
        database.execute(INSERT.format(table="words"), bound(row, indexed(about), indexed(body)))
    yield database
    database.close()


def search(database: sqlite3.Connection, question: str, count: int = 10) -> list[int]:
    wanted = expression(question)
    if wanted is None:
        return []
    return [row for row, _ in database.execute(SEARCH.format(table="words"), bound(wanted.text, count))]


@pytest.mark.parametrize(
    ("question", "rows"),
    [
        ("where do I keep an apple?", [1]),
        ("what is the npm_lifecycle_event", [2]),
        ("数据库", [3]),
        ("猫", [3]),
        ("resume storing", [4]),
        ("CAFE", [4]),
        ("fruit", [1]),
        ("who is it", []),
        ("", []),
        ("🙂 🙃", []),
    ],
)
def test_words_are_found_whatever_their_form(
    table: sqlite3.Connection, question: str, rows: list[int]
) -> None:
    assert search(table, question) == rows


@pytest.mark.parametrize("question", HOSTILE)
def test_no_question_is_an_error(table: sqlite3.Connection, question: str) -> None:
    found = search(table, question)
    assert found == ([1] if "apple" in question else [])


@given(st.text())
@settings(deadline=None)
def test_any_text_can_be_asked_and_indexed(table: sqlite3.Connection, text: str) -> None:
    search(table, text)
    assert set(indexed(text)) <= {*text, " "}


def test_what_was_indexed_is_found_by_any_of_its_words(table: sqlite3.Connection) -> None:
    for row, (_, body) in TEXTS.items():
        assert search(table, body)[0] == row


def test_only_so_many_words_are_looked_up() -> None:
    wanted = expression(" ".join(f"word{number}" for number in range(1000)))
    assert wanted is not None
    assert len(wanted.terms) == MOST_WORDS


def test_terms_that_would_cost_too_much_are_left_out_the_most_common_first() -> None:
    wanted = expression("rare common frequent absent")
    assert wanted is not None
    assert wanted.affordable([5, MOST_ROWS - 5, 10, 0]) == '"rare" OR "frequent" OR "absent"'
    assert wanted.affordable([5, MOST_ROWS - 15, 10, 0]) == wanted.text
    assert wanted.affordable([MOST_ROWS + 2, MOST_ROWS + 1, MOST_ROWS + 3, 0]) == '"common" OR "absent"'
    assert wanted.affordable([0, 0, 0, 0]) == wanted.text


def test_a_term_is_counted_by_itself(table: sqlite3.Connection) -> None:
    wanted = expression("pears stored unknown")
    assert wanted is not None
    counted = [table.execute(COUNT.format(table="words"), bound(term)).fetchone()[0] for term in wanted.terms]
    assert counted == [1, 1, 0]


def test_a_share_is_one_when_every_word_is_found_and_never_more() -> None:
    wanted = expression("orange marmalade")
    assert wanted is not None
    assert wanted.share(0) == 0
    assert wanted.share(WORD) == 0.5
    assert wanted.share(100 * WORD) == 1


def test_what_a_text_stands_under_counts_more_than_what_it_says() -> None:
    database = sqlite3.connect(":memory:")
    database.execute(CREATE.format(table="words"))
    database.execute(RANK.format(table="words"))
    for row, (about, body) in enumerate([("", "install it now"), ("install", "it now please")], 1):
        database.execute(INSERT.format(table="words"), bound(row, about, body))
    assert search(database, "install") == [2, 1]
    database.close()


def test_what_is_deleted_is_not_found() -> None:
    database = sqlite3.connect(":memory:")
    database.execute(CREATE.format(table="words"))
    for row, body in ((1, "red"), (2, "red wine")):
        database.execute(INSERT.format(table="words"), bound(row, "", body))
    database.execute(DELETE.format(table="words"), bound(1, "", "red"))
    assert search(database, "red") == [2]
    database.close()
