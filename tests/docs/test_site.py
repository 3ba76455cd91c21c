"""The site of the documents: it is built from all of them, and nothing in it leads nowhere."""

import re
import tomllib
from typing import Any

import pytest
from scripts.docs.regions import ROOT
from scripts.site import staging
from scripts.site.__main__ import build

BUILT = ROOT / "site"


@pytest.fixture(scope="module", autouse=True)
def _site() -> None:
    """Built once. Links and anchors that lead nowhere end it."""
    built = build()
    assert built.returncode == 0, built.stdout + built.stderr


def _pages(entries: list[Any]) -> list[str]:
    found = []
    for entry in entries:
        values = entry.values() if isinstance(entry, dict) else [entry]
        for value in values:
            found += _pages(value) if isinstance(value, list) else [value]
    return found


def test_every_document_has_its_place_in_the_navigation_once() -> None:
    navigation = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]["nav"]

    assert sorted(_pages(navigation)) == sorted(
        place for place in staging.places().values() if place.endswith(".md")
    )


def test_a_block_with_a_name_shows_it_and_is_code() -> None:
    page = (BUILT / "webhooks.html").read_text(encoding="utf-8")

    assert "receiver.py" in page
    assert "```" not in page


def test_no_page_shows_the_marks_of_its_source() -> None:
    for page in BUILT.rglob("*.html"):
        text = re.sub(r"<(pre|code)\b.*?</\1>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert "```" not in text, page
        assert not re.search(r"\]\([\w./-]+\.md", text), page


def test_links_to_documents_outside_the_folder_lead_to_their_pages() -> None:
    text = (BUILT / "internals" / "architecture.html").read_text(encoding="utf-8")

    assert 'href="../contributing.html"' in text
