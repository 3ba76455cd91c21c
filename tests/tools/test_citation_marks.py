"""The filter that makes citations of marks, by itself: whatever a model writes, in whatever pieces."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.protocol.content import FileCitation
from antiphon.stream.filters import Annotated
from antiphon.tools.citations import Citations, Sources, unmarked
from antiphon.tools.file_search import FileSource

SOURCES = [FileSource(f"file-{number}", f"{number}.md") for number in range(1, 13)]


def filtered(
    pieces: Sequence[str], sources: Sequence[FileSource] = SOURCES
) -> tuple[str, list[tuple[str, int]]]:
    """The text that comes out, and its citations: the file and where."""
    known = Sources()
    known.add(sources)
    through = Citations(known)
    found = [piece for text in pieces for piece in through.feed(text)]
    text, cited = "", []
    for piece in [*found, *through.end()]:
        if isinstance(piece, Annotated):
            annotation = piece.annotation(len(text), len(text))
            assert isinstance(annotation, FileCitation)
            cited.append((annotation.file_id, annotation.index))
        else:
            text += piece
    return text, cited


@pytest.mark.parametrize(
    ("mark", "numbers"),
    [
        ("【3】", [3]),
        ("【 3 】", [3]),
        ("【3†source】", [3]),
        ("【3:0†notes.md】", [3]),
        ("【3†L10-L12】", [3]),
        ("【#3】", [3]),
        ("[3†source]", [3]),
        ("[3:0†L1-L2]", [3]),
        ("【1】【2】", [1, 2]),
        ("【1】【1】", [1, 1]),
        ("【1, 2】", [1, 2]),
        ("【1;2】", [1, 2]),
        ("【1、2】", [1, 2]),
        ("【2-4】", [2, 3, 4]),
        ("【2–4】", [2, 3, 4]),
        ("【11-4000000】", [11, 12]),
        ("【0】", []),
        ("【13】", []),
        ("【12, 13】", [12]),
        ("【4-2】", []),
        ("【999999999999999999999999】", []),
    ],
)
def test_a_mark_is_cut_and_what_it_names_is_cited_where_it_stood(mark: str, numbers: list[int]) -> None:
    text, cited = filtered([f"Boats float {mark}."])

    assert text == "Boats float ."
    assert cited == [(f"file-{number}", 12) for number in numbers]


@pytest.mark.parametrize(
    "text",
    [
        "【】",
        "【注意】",
        "【†source】",
        "【 , 】",
        "【3",
        "【3†source",
        "a 】 b",
        "【3\n†x\ny】",
        "【3†" + "x" * 81 + "】",
        "【" + "1" * 61 + "】",
        "[3]",
        "[3] [4](https://example.com)",
        "[†source]",
        "[3†a[1]",
        "a[3]",
        "【three】",
    ],
)
def test_what_is_no_mark_is_text(text: str) -> None:
    assert filtered([text]) == (text, [])
    assert filtered(text) == (text, [])


def test_a_mark_behind_what_looked_like_one_is_cut() -> None:
    assert filtered(["【1【2】"]) == ("【1", [("file-2", 2)])


def test_positions_are_characters() -> None:
    assert filtered(["⛵ ñ 【1】"]) == ("⛵ ñ ", [("file-1", 4)])


def test_no_more_is_held_back_than_what_may_become_a_mark() -> None:
    known = Sources()
    known.add(SOURCES)
    through = Citations(known)

    assert through.feed("Boats 【注") == ["Boats 【注"]
    assert through.feed("float 【1") == ["float "]
    assert list(through.feed("x")) == ["【1x"]


_pieces = st.sampled_from(
    [
        "【",
        "】",
        "[",
        "]",
        "†",
        "1",
        "2",
        "13",
        ",",
        " ",
        "-",
        ":",
        "source",
        "\n",
        "a",
        ".",
        "【1】",
        "【2†x】",
        "⛵",
    ]
)
_texts = st.lists(_pieces, max_size=30).map("".join)


@given(_texts)
def test_in_a_text_of_files_nothing_is_left_that_is_a_mark(text: str) -> None:
    assert filtered([unmarked(text)]) == (unmarked(text), [])


@given(_texts, st.data())
def test_however_a_text_is_cut_the_same_comes_out(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))))
    pieces = [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]

    assert filtered(pieces) == filtered([text])
    assert filtered(text) == filtered([text])


@given(st.lists(st.tuples(st.text(st.characters(exclude_characters="【】[]")), st.integers(1, 12))))
def test_every_mark_becomes_one_citation_at_its_place(facts: list[tuple[str, int]]) -> None:
    written = "".join(f"{words}【{number}】" for words, number in facts)
    said, wanted = "", []
    for words, number in facts:
        said += words
        wanted.append((f"file-{number}", len(said)))

    assert filtered(written) == (said, wanted)
