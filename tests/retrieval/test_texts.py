"""Texts are read in whatever they are written, a piece at a time."""

import pytest
from tests.papers import pdf

from antiphon.retrieval.documents import Documents, Unreadable, Unsupported
from antiphon.retrieval.texts import _MARKUP, MOST_CHARACTERS, TooLarge, read_text

FAR = 3 * 2**20
"""Farther than the first bytes that are looked at, and than one piece."""


@pytest.fixture
def documents() -> Documents:
    return Documents()


async def text(documents: Documents, data: bytes, name: str = "a.txt") -> str:
    return (await read_text(documents, data, name, "owner")).text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("shift", range(4))
async def test_a_character_may_lie_on_any_border(documents: Documents, encoding: str, shift: int) -> None:
    written = "x" * shift + "€𝄞ü" * (FAR // 9)
    assert await text(documents, written.encode(encoding)) == written


async def test_what_turns_out_to_be_latin_late_is_read_as_latin(documents: Documents) -> None:
    written = "plain " * (FAR // 6) + "süß"
    assert await text(documents, written.encode("latin-1")) == written


async def test_what_turns_out_to_be_no_text_late_is_none(documents: Documents) -> None:
    with pytest.raises(Unsupported):
        await text(documents, b"plain " * (FAR // 6) + b"\0")


@pytest.mark.parametrize("data", [b"", b" \n\t", b"\xef\xbb\xbf"])
async def test_a_file_without_words_is_not_readable(documents: Documents, data: bytes) -> None:
    with pytest.raises(Unreadable, match="no text"):
        await text(documents, data)


async def test_a_text_that_is_too_large_is_not_read_to_its_end(documents: Documents) -> None:
    with pytest.raises(TooLarge):
        await text(documents, b"x" * (MOST_CHARACTERS + 1))


async def test_markup_that_is_too_large_is_not_read_at_all(documents: Documents) -> None:
    with pytest.raises(TooLarge):
        await text(documents, b"<html>" + b" " * (64 * 2**20), "a.html")


@pytest.mark.parametrize(
    ("name", "kind"), [("a.md", "markdown"), ("a.py", "code"), ("a.csv", "table"), ("a", "prose")]
)
async def test_a_name_says_how_a_text_is_cut(documents: Documents, name: str, kind: str) -> None:
    assert (await read_text(documents, b"a,b\n1,2\n", name, "owner")).kind == kind


async def test_a_large_pdf_that_begins_like_a_text_is_read_as_a_pdf(documents: Documents) -> None:
    data = pdf("Hello") + b"\n% padding" * 7_000_000
    assert len(data) > _MARKUP
    assert (await text(documents, data, "a.pdf")).strip() == "Hello"
