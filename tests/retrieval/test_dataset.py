"""The set that retrieval is measured on holds what it says."""

from collections import Counter

import pytest
from bench.retrieval.dataset import DOCUMENTS, Question, documents, flat, questions


def test_there_are_enough_documents_and_questions() -> None:
    assert len(documents()) >= 150
    assert len(questions()) >= 300
    asked = {question.document for question in questions()}
    assert asked <= documents().keys()
    assert len(asked) >= 150
    kinds = Counter(question.kind for question in questions())
    assert min(kinds.values()) >= 25
    held_out = sum(question.held_out for question in questions())
    assert 0.4 < held_out / len(questions()) < 0.6


def test_every_passage_stands_in_its_document() -> None:
    texts = {name: flat(text) for name, text in documents().items()}
    missing = [one for one in questions() if flat(one.passage) not in texts[one.document]]
    assert missing == []


def test_no_question_is_asked_twice_or_copied_from_its_passage() -> None:
    assert len({question.question for question in questions()}) == len(questions())
    assert [one for one in questions() if copied(one)] == []


def copied(question: Question) -> bool:
    """Whether five words in a row are the passage's. Keywords are words of the text by their nature."""
    words, passage = question.question.lower().split(), flat(question.passage).lower()
    rows = (" ".join(words[start : start + 5]) for start in range(len(words) - 4))
    return question.kind != "keywords" and any(row in passage for row in rows)


@pytest.mark.parametrize("folder", sorted(path.name for path in DOCUMENTS.iterdir() if path.is_dir()))
def test_every_folder_has_a_source_and_a_licence(folder: str) -> None:
    rows = (DOCUMENTS / "SOURCES.md").read_text(encoding="utf-8").splitlines()
    [row] = [row for row in rows if row.startswith(f"| `{folder}/` |")]
    assert all(cell.strip() for cell in row.strip("|").split("|"))


def test_the_set_stays_small() -> None:
    assert sum(file.stat().st_size for file in DOCUMENTS.parent.rglob("*") if file.is_file()) < 3 * 2**20
