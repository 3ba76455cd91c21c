"""Documents on disk: what of some files and folders goes into a vector store, and what is left out."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from antiphon.api.stored_files import refused_endings


class Document(Struct, frozen=True):
    """A file to be added."""

    path: Path
    name: str
    """How it is called: of a file in a folder, its path below that."""


class Skipped(Struct, frozen=True):
    """What is left out, and why."""

    path: Path
    why: str


class Rules(Struct, frozen=True, kw_only=True):
    """What a store takes."""

    all_files: bool
    most_bytes: int


def found(paths: Sequence[Path], rules: Rules) -> Iterator[Document | Skipped]:
    """All that the paths name, in the order of their names. Links to folders are not followed, and what is
    hidden in a folder stays so."""
    names: set[str] = set()
    for path in paths:
        for each in _below(path) if path.is_dir() else [Document(path, path.name)]:
            looked = _looked_at(each, rules) if isinstance(each, Document) else each
            if isinstance(looked, Document) and looked.name in names:
                looked = Skipped(looked.path, f"another file is called {looked.name}")
            if isinstance(looked, Document):
                names.add(looked.name)
            yield looked


def checksum(path: Path) -> bytes:
    """SHA-256. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _below(folder: Path) -> Iterator[Document | Skipped]:
    faults: list[OSError] = []
    for here, folders, files in os.walk(folder, onerror=faults.append):
        for name in sorted(folders):
            why = _left_out(Path(here, name))
            if why:
                folders.remove(name)
                yield Skipped(Path(here, name), why)
        folders.sort()
        for name in sorted(files):
            path = Path(here, name)
            hidden = name.startswith(".")
            yield Skipped(path, "hidden") if hidden else Document(path, path.relative_to(folder).as_posix())
    for fault in faults:
        yield Skipped(Path(fault.filename), f"cannot be read: {fault.strerror}")


def _left_out(folder: Path) -> str | None:
    if folder.name.startswith("."):
        return "hidden"
    return "a link to a folder" if folder.is_symlink() else None


def _looked_at(document: Document, rules: Rules) -> Document | Skipped:
    try:
        why = _fault(document, rules)
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    return Skipped(document.path, why) if why else document


def _fault(document: Document, rules: Rules) -> str | None:
    """Why it cannot be added. Raises OSError. What is no file is not opened: a pipe would be waited for."""
    found = document.path.stat()
    if not stat.S_ISREG(found.st_mode):
        return "not a file"
    if not document.name.isprintable():
        return "its name is not text"
    endings = refused_endings([document.name], rules.all_files)
    if endings:
        ending = endings.pop()
        return f"{ending} files are not taken" if ending else "files without an ending are not taken"
    if not found.st_size:
        return "empty"
    if found.st_size > rules.most_bytes:
        return f"larger than {rules.most_bytes} bytes (file_bytes of [limits])"
    with document.path.open("rb"):
        return None
