"""The documents, as tests read them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from scripts.docs.regions import ROOT, documents

_BLOCK = re.compile(r"^```(\w+) ?([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of code: ```` ```LANGUAGE NAME ````. A block with a name is a file of its own."""

    language: str
    name: str
    text: str


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[Block]:
    return [block for block in _blocks(read(page)) if block.language == language]


def named(page: str, name: str) -> str:
    """The text of the one block of this name."""
    (block,) = (block for block in _blocks(read(page)) if block.name == name)
    return block.text


def pages() -> list[str]:
    """The documents, by their paths in the repository."""
    return [str(path.relative_to(ROOT)) for path in documents()]


def _blocks(text: str) -> Iterator[Block]:
    return (Block(*found.groups()) for found in _BLOCK.finditer(text))
