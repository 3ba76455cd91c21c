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

HOME = Path(__file__).parent
DOCUMENTS = HOME / "documents"

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
