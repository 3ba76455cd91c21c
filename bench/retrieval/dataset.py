"""The documents, and the questions that they answer.

Each question was written in words of its own after reading a passage. Half of them, chosen by a hash, may be
looked at when something is tuned; the other half only tells whether that was worth it.
"""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from antiphon.retrieval.chunks import title_of

HOME = Path(__file__).parent
DOCUMENTS = HOME / "documents"

_SUBJECTS = {"cmake": "CMake", "node": "Node.js", "npm": "npm", "python": "Python", "vim": "Vim"}

Kind = Literal["plain", "paraphrase", "keywords"]
"""As one asks who knows the subject's words; as one who does not; as one types into a search box."""


class Question(Struct, frozen=True):
    document: str
    kind: Kind
    question: str
    passage: str
    """What answers it, as it stands in the document, but for white space."""

    @property
    def held_out(self) -> bool:
        return bool(hashlib.md5(self.question.encode()).digest()[0] & 1)

    @property
    def named(self) -> str:
        """The question with its subject, as one asks whose store is about many."""
        subject = _SUBJECTS.get(self.document.partition("/")[0]) or title_of(Path(self.document).name)
        said = subject.split()[0].lower() in self.question.lower()
        return self.question if said else f"{subject}: {self.question}"


@cache
def documents() -> dict[str, str]:
    """Texts by their names, `python/assert.txt`."""
    files = sorted(DOCUMENTS.glob("*/*"))
    return {str(file.relative_to(DOCUMENTS)): file.read_text(encoding="utf-8") for file in files}


@cache
def questions() -> tuple[Question, ...]:
    lines = (HOME / "questions.jsonl").read_bytes().splitlines()
    return tuple(msgspec.json.decode(line, type=Question) for line in lines)


def flat(text: str) -> str:
    """With one blank for any white space."""
    return re.sub(r"\s+", " ", text).strip()
