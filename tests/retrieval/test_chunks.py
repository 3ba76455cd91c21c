"""Chunks of texts: where they are cut, how large they are, and that nothing is lost between them."""

import time
import tracemalloc
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.retrieval.chunks import Chunk, chunks, title_of
from antiphon.retrieval.pieces import Kind, kind_of, pieces
from antiphon.retrieval.tokens import count

SENTENCE = "The quick brown fox number {} jumps over the lazy dog near the river. "
PROSE = "".join(SENTENCE.format(number) + ("\n\n" if number % 7 == 6 else "") for number in range(400))
KINDS: tuple[Kind, ...] = ("prose", "markdown", "code", "table", "pages")
WORDS = st.sampled_from(
    [
        "word",
        " ",
        "\n",
        "\n\n",
        "# Head\n",
        "===\n",
        "```\n",
        ". ",
        "。",
        "\f",
        "\r\n",
        "\t",
        "x" * 200,
        "é",
        "猫",
    ]
)
TEXTS = st.lists(WORDS, max_size=60).map("".join) | st.text(max_size=300)


@given(TEXTS, st.sampled_from(KINDS))
@settings(deadline=None)
def test_pieces_follow_each_other_without_a_gap(text: str, kind: Kind) -> None:
    cut = list(pieces(text, kind, 20))
    assert "".join(text[piece.start : piece.end] for piece in cut) == text
    assert all(piece.tokens <= 20 for piece in cut if piece.end - piece.start > 1)


@given(TEXTS, st.sampled_from(KINDS), st.integers(20, 60), st.floats(0, 0.5), st.integers(8, 60))
@settings(deadline=None)
def test_every_word_belongs_to_one_chunk_and_no_chunk_is_too_large(
    text: str, kind: Kind, size: int, share: float, passage: int
) -> None:
    made = list(chunks(text, kind, size, int(size * share), passage))
    assert [chunk.number for chunk in made] == list(range(len(made)))
    assert "".join("".join(chunk.own for chunk in made).split()) == "".join(text.split())
    for chunk in made:
        assert chunk.tokens <= size
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.start <= chunk.own_start < chunk.own_end <= chunk.end
        assert chunk.passages[0].start >= chunk.own_start
        assert chunk.passages[-1].end <= chunk.own_end


def overlap(one: Chunk, other: Chunk) -> int:
    return count([one.text[other.start - one.start :]])[0] if other.start < one.end else 0


@pytest.mark.parametrize(("size", "wanted"), [(800, 400), (800, 0), (200, 100), (100, 50), (4096, 2048)])
def test_neighbours_have_about_as_much_in_common_as_is_asked_for(size: int, wanted: int) -> None:
    made = list(chunks(PROSE * 3, size=size, overlap=wanted))
    sentence = count([SENTENCE.format(7)])[0]
    common = [overlap(one, other) for one, other in pairwise(made)]
    assert all(wanted - 6 * sentence <= tokens <= wanted for tokens in common[1:-1])
    assert all(count([chunk.text])[0] <= size for chunk in made)


def test_a_text_that_fits_is_one_chunk() -> None:
    [chunk] = chunks(PROSE[:2000])
    assert chunk.text == PROSE[:2000]
    assert chunk.own == chunk.text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["", "   ", "\n\n\n", "\f\f", " \r\n\t" * 5000])
def test_a_text_without_words_has_no_chunks(text: str, kind: Kind) -> None:
    assert list(chunks(text, kind)) == []


def test_chunks_begin_with_a_sentence_and_own_parts_with_a_paragraph_where_they_can() -> None:
    made = list(chunks(PROSE))
    assert all(chunk.text.lstrip().startswith("The quick") for chunk in made)
    owned = [PROSE[: chunk.own_start] for chunk in made[1:]]
    assert all(before.endswith("\n\n") for before in owned)


MARKDOWN = """# Guide

Intro.

## Install

Run the installer.

### On Windows

Click twice.

## Use

```
# no heading
run it
```
"""


def test_what_stands_under_headings_knows_them() -> None:
    found = {MARKDOWN[piece.start : piece.end]: piece.headings for piece in pieces(MARKDOWN, "markdown", 100)}
    assert found["Run the installer.\n"] == "Guide > Install"
    assert found["Click twice.\n"] == "Guide > Install > On Windows"
    assert found["run it\n"] == "Guide > Use"


@pytest.mark.parametrize("under", ["=====", "-----", "*****", "~~~~~"])
def test_a_line_that_is_underlined_is_a_heading(under: str) -> None:
    text = f"Title\n{under}\n\nSome words.\n"
    assert [piece.headings for piece in pieces(text, "prose", 100)][-1] == "Title"


def test_a_passage_is_embedded_with_the_title_and_the_headings_it_stands_under() -> None:
    text = MARKDOWN.replace("Click twice.", "Click twice. " * 60)
    [chunk] = chunks(text, "markdown", passage=100)
    assert chunk.embedded("user guide")[1].startswith("user guide: Guide > Install > On Windows\n")
    assert len(chunk.embedded("user guide")) == len(chunk.passages)
    assert chunk.about("user guide").startswith("user guide Guide")


def test_code_is_cut_before_what_stands_at_the_margin() -> None:
    code = "".join(
        f"def function_{number}(a):\n    b = a + {number}\n\n    return b\n\n\n" for number in range(200)
    )
    made = list(chunks(code, "code", size=200, overlap=0))
    assert len(made) > 10
    assert all(chunk.own.startswith("def function_") for chunk in made)


def test_rows_of_a_table_stay_whole() -> None:
    table = "".join(f"{number},name {number},some value. Another one\n" for number in range(500))
    made = list(chunks(table, "table", size=100, overlap=20))
    assert all(chunk.text.endswith("one\n") and chunk.text[0].isdigit() for chunk in made)


def test_a_page_begins_a_chunk_where_it_can() -> None:
    pages = "\f".join(SENTENCE.format(page) * 12 + "\n" for page in range(20))
    made = list(chunks(pages, "pages", size=400, overlap=0))
    assert all(chunk.own.startswith("\f") for chunk in made[1:])


@pytest.mark.parametrize(
    ("filename", "kind"),
    [
        ("a.md", "markdown"),
        ("A.PY", "code"),
        ("x.csv", "table"),
        ("b.pdf", "pages"),
        ("c", "prose"),
        ("d.docx", "markdown"),
    ],
)
def test_the_name_of_a_file_says_how_it_is_cut(filename: str, kind: Kind) -> None:
    assert kind_of(filename) == kind


@pytest.mark.parametrize(
    ("filename", "title"),
    [
        ("user-guide_v2.md", "user guide v2"),
        ("docs/api/create.rst", "docs api create"),
        ("README", "README"),
        (".env", "env"),
    ],
)
def test_the_title_of_a_file_is_its_name_in_words(filename: str, title: str) -> None:
    assert title_of(filename) == title


LONG = {
    "one word": "a" * 400_000,
    "one line": "word " * 80_000,
    "blank lines": "\n" * 60_000 + "end",
    "base64": "QUJDREVG" * 50_000,
    "no spaces": "这是一个句子。" * 30_000,
    "short lines": "x\n" * 60_000,
    "no end of a sentence": "word, " * 60_000,
}


@pytest.mark.parametrize("name", LONG)
def test_the_time_grows_with_the_length_of_a_text_and_not_faster(name: str) -> None:
    text = LONG[name]

    def seconds(part: str) -> float:
        begun = time.process_time()
        for chunk in chunks(part):
            assert chunk.tokens <= 800
        return time.process_time() - begun

    seconds(text[:1000])
    quarter = min(seconds(text[: len(text) // 4]) for _ in range(2))
    assert seconds(text) < 8 * quarter + 0.5


def test_a_long_text_is_not_held_twice() -> None:
    text = PROSE * 200
    made = chunks(text)
    list(islice(made, 10))
    tracemalloc.start()
    last = 0
    for chunk in made:
        last = chunk.number
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(text) > 5_000_000
    assert last > 3000
    assert peak < 2_000_000
