"""Texts are read in whatever they are written, a piece at a time."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.papers import pdf

from antiphon.retrieval.documents import Documents, Unreadable, Unsupported
from antiphon.retrieval.texts import _MARKUP, MOST_CHARACTERS, Text, TooLarge, read_text

FAR = 3 * 2**20
"""Farther than the first bytes that are looked at, and than one piece."""


Read = Callable[..., Awaitable[Text]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """What is made of a file with these bytes, and a name."""
    documents, path = Documents(), tmp_path / "blob"

    async def read(data: bytes, name: str = "a.txt") -> Text:
        path.write_bytes(data)
        return await read_text(documents, path, name, "owner")

    return read


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("shift", range(4))
async def test_a_character_may_lie_on_any_border(read: Read, encoding: str, shift: int) -> None:
    written = "x" * shift + "€𝄞ü" * (FAR // 9)
    assert (await read(written.encode(encoding))).text == written


async def test_what_turns_out_to_be_latin_late_is_read_as_latin(read: Read) -> None:
    written = "plain " * (FAR // 6) + "süß"
    assert (await read(written.encode("latin-1"))).text == written


async def test_what_turns_out_to_be_no_text_late_is_none(read: Read) -> None:
    with pytest.raises(Unsupported):
        await read(b"plain " * (FAR // 6) + b"\0")


@pytest.mark.parametrize("data", [b"", b" \n\t", b"\xef\xbb\xbf"])
async def test_a_file_without_words_is_not_readable(read: Read, data: bytes) -> None:
    with pytest.raises(Unreadable, match="no text"):
        await read(data)


async def test_a_text_that_is_too_large_is_not_read_to_its_end(read: Read) -> None:
    with pytest.raises(TooLarge):
        await read(b"x" * (MOST_CHARACTERS + 1))


async def test_markup_that_is_too_large_is_not_read_at_all(read: Read) -> None:
    with pytest.raises(TooLarge):
        await read(b"<html>" + b" " * (64 * 2**20), "a.html")


@pytest.mark.parametrize(
    ("name", "kind"), [("a.md", "markdown"), ("a.py", "code"), ("a.csv", "table"), ("a", "prose")]
)
async def test_a_name_says_how_a_text_is_cut(read: Read, name: str, kind: str) -> None:
    assert (await read(b"a,b\n1,2\n", name)).kind == kind


async def test_a_large_pdf_that_begins_like_a_text_is_read_as_a_pdf(read: Read) -> None:
    data = pdf("Hello") + b"\n% padding" * 7_000_000
    assert len(data) > _MARKUP
    assert (await read(data, "a.pdf")).text.strip() == "Hello"
