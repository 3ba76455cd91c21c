"""What comments cite is there: a document, and the section of it. So is what the documents link to."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from scripts.docs.regions import documents
from tests.docs.reading import ROOT

SOURCES = [
    path for room in ("src", "tests", "bench", "scripts") for path in sorted((ROOT / room).rglob("*.py"))
]
SHELVES = (ROOT, ROOT / "docs", ROOT / "docs" / "internals")
"""Where a document that is cited by its name may stand."""

_CITATION = re.compile(r"\b([\w/-]+\.md)\b(?:\]\([^)]*\))?(?:,? sections? (\d[\d.]*\d|\d)(?: to (\d+))?)?")
_URL = re.compile(r"https?://\S+")
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)")


def remarks(source: str) -> Iterator[str]:
    """The comments and docstrings of a source, also those of members and constants."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield str(node.value.value)


def citations(text: str) -> Iterator[tuple[str, str]]:
    """Document and section ("" for the whole) of every citation, also of sections from … to …."""
    for found in _CITATION.finditer(" ".join(_URL.sub("", text).split())):
        document, first, last = found[1], found[2] or "", found[3]
        yield document, first
        for section in range(int(first) + 1, int(last) + 1) if last else ():
            yield document, str(section)


@cache
def sections(document: Path) -> frozenset[str]:
    """The numbers of the headings and of the rows of a document."""
    text = document.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (\d+)\. ", text, re.MULTILINE)
    return frozenset(headings + re.findall(r"^\| (\d+\.\d+) \|", text, re.MULTILINE))


def missing(document: str, section: str) -> bool:
    found = [shelf / document for shelf in SHELVES if (shelf / document).is_file()]
    return not found or (bool(section) and section not in sections(found[0]))


def cited() -> list[tuple[Path, str, str]]:
    return [
        (path, *citation)
        for path in SOURCES
        for remark in remarks(path.read_text(encoding="utf-8"))
        for citation in citations(remark)
    ]


def test_every_citation_of_a_comment_resolves() -> None:
    everything = cited()

    assert [(str(path.relative_to(ROOT)), d, s) for path, d, s in everything if missing(d, s)] == []
    assert sum(bool(section) for _, _, section in everything) > 40


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("As behaviours.md section 2 has it.", [("behaviours.md", "2")]),
        ("(behaviours.md section 7.6)", [("behaviours.md", "7.6")]),
        ("surface.md sections 3 to 5.", [("surface.md", "3"), ("surface.md", "4"), ("surface.md", "5")]),
        ("docs/internals/behaviours.md\n    section 6.", [("docs/internals/behaviours.md", "6")]),
        ("See docs/mcp.md.", [("docs/mcp.md", "")]),
        ("https://example.com/spec/hooks.md", []),
    ],
)
def test_a_citation_is_recognised(text: str, found: list[tuple[str, str]]) -> None:
    assert list(citations(text)) == found


@pytest.mark.parametrize(
    ("document", "section"), [("behaviours.md", "99"), ("behaviours.md", "7.99"), ("nothing.md", "")]
)
def test_a_citation_of_nothing_is_recognised(document: str, section: str) -> None:
    assert missing(document, section)


# ---- the documents among themselves ------------------------------------------------------------------


def anchors(document: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = _HEADING.findall(document.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    for target, anchor in _LINK.findall(document.read_text(encoding="utf-8")):
        file = (document.parent / target).resolve() if target else document
        assert file.exists(), target
        assert not anchor or anchor[1:] in anchors(file), target + anchor


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_every_section_that_a_document_cites_is_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")

    assert [each for each in citations(text) if each[1] and missing(*each)] == []


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_numbers_of_sections_are_not_given_twice(document: Path) -> None:
    numbers = [
        int(n) for n in re.findall(r"^## (\d+)\. ", document.read_text(encoding="utf-8"), re.MULTILINE)
    ]

    assert all(after > before for before, after in pairwise(numbers))


def test_the_map_of_the_documents_has_them_all() -> None:
    shelf = ROOT / "docs"
    targets = (target for target, _ in _LINK.findall((shelf / "README.md").read_text()))
    listed = {(shelf / target).resolve() for target in targets if target.endswith(".md")}

    assert listed == {*documents()} - {shelf / "README.md"}
