"""Regions of the documents that are written from the code.

    <!-- from the code: settings server -->
    … replaced by `python -m scripts.docs` …
    <!-- end -->

The first word says who writes the region, the second about what. Everything outside is written by hand.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts.docs import commands, dialects, settings, states

ROOT = Path(__file__).parents[2]
WRITERS: dict[str, Callable[[str], str]] = {
    "settings": settings.table,
    "command": commands.table,
    "dialects": dialects.names,
    "servers": dialects.table,
    "states": states.diagram,
}
_REGION = re.compile(r"(<!-- from the code: (\S+) (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)


def documents() -> list[Path]:
    """All documents of the repository."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def regions(text: str) -> Iterator[tuple[str, str]]:
    """Writer and subject of every region of a document."""
    return ((found[2], found[3]) for found in _REGION.finditer(text))


def renewed(text: str) -> str:
    """The document with its regions as the code has them now."""
    return _REGION.sub(lambda found: f"{found[1]}{WRITERS[found[2]](found[3]).rstrip()}\n{found[5]}", text)
