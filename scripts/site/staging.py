"""What the site is built from: the documents of the repository, in the form that its builder reads.

The documents are written for whoever reads them in the repository. Here a document from outside `docs/` gets
a place inside, links follow it, and a block of code that is a file shows its name as a title.
"""

import re
import shutil
from collections.abc import Mapping
from os.path import relpath
from pathlib import Path

from scripts.docs.regions import ROOT

STAGE = ROOT / ".site"
OUTSIDE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
}
"""Documents at the top of the repository that are pages too."""
FRONT = {"README.md": "index.md"}
"""The repository's front page is none; links to it lead to the site's own."""
_LINK = re.compile(r"\]\((?!https?://|mailto:|#)([^)#\s]+)(#[^)\s]*)?\)")
_FENCE = re.compile(r"^( *)```(\w+) +(\S.*)$", re.MULTILINE)


def places() -> Mapping[str, str]:
    """Where each document of the repository is in the site."""
    docs = ROOT / "docs"
    found = {
        str(path.relative_to(ROOT)): str(path.relative_to(docs))
        for path in sorted(docs.rglob("*"))
        if path.is_file()
    }
    found["docs/README.md"] = "index.md"
    return {
        **{source: place.replace("/README.md", "/index.md") for source, place in found.items()},
        **OUTSIDE,
    }


def stage() -> None:
    """Makes the folder anew."""
    shutil.rmtree(STAGE, ignore_errors=True)
    known = places()
    for source, place in known.items():
        target = STAGE / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.endswith(".md"):
            text = (ROOT / source).read_text(encoding="utf-8")
            target.write_text(_titled(_relinked(text, source, known)), encoding="utf-8")
        else:
            shutil.copyfile(ROOT / source, target)


def _relinked(text: str, source: str, known: Mapping[str, str]) -> str:
    """Links to documents lead to their places; any other stays, and the builder complains of it."""
    here = Path(known[source]).parent

    def moved(found: re.Match[str]) -> str:
        path = (ROOT / source).parent / found[1]
        place = {**known, **FRONT}.get(relpath(path.resolve(), ROOT))
        return f"]({relpath(place, here)}{found[2] or ''})" if place else found[0]

    return _LINK.sub(moved, text)


def _titled(text: str) -> str:
    """Other names are for tests, and would keep the builder from seeing a block."""

    def opened(found: re.Match[str]) -> str:
        title = f' title="{found[3]}"' if "." in found[3] else ""
        return f"{found[1]}```{found[2]}{title}"

    return _FENCE.sub(opened, text)
