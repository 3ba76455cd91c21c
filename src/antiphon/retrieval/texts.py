"""The text of a file that is to be searched, and how it is cut."""

import asyncio
import codecs
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from antiphon.retrieval.documents import Documents, Unreadable, Unsupported
from antiphon.retrieval.kinds import PDF, TEXT, document_type, encoding_of
from antiphon.retrieval.pieces import Kind, kind_of
from antiphon.retrieval.tokens import CHARACTERS

MOST_TOKENS = 5_000_000
"""Of one file, as on the real API."""
MOST_CHARACTERS = MOST_TOKENS * CHARACTERS
_HEAD = 65_536
"""So many bytes tell the type of a file."""
_STEP = 2**20
"""Bytes that are read and decoded in one go: the interpreter does nothing else meanwhile."""
_MARKUP = 64 * 2**20
"""Bytes of a document of text, such as HTML, that is read."""


class Text(Struct, frozen=True):
    text: str
    kind: Kind


class TooLarge(Unreadable):
    """It has more text than a file may have."""

    def __init__(self) -> None:
        super().__init__(f"it is too large: a file may have {MOST_TOKENS:,} tokens")


async def read_text(documents: Documents, path: Path, filename: str, owner: str) -> Text:
    """`path`: where the file lies; plain text is read from there a piece at a time. `owner`: whose document
    it is. Raises Unsupported; Unreadable for what is broken, empty or too large; FileNotFoundError."""
    head = await asyncio.to_thread(_head, path)
    kind = document_type(head, filename)
    if kind == TEXT:
        text = Text(await asyncio.to_thread(_decoded, path, head), kind_of(filename))
    else:
        text = await _extracted(documents, path, filename, owner, head, kind)
    if not text.text or text.text.isspace():
        raise Unreadable("no text was found in it")
    return text


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


async def _extracted(
    documents: Documents, path: Path, filename: str, owner: str, head: bytes, kind: str | None
) -> Text:
    """`head`: the first bytes, and `kind` the type that they tell of."""
    size = (await asyncio.to_thread(path.stat)).st_size
    if size > _MARKUP and kind != PDF and encoding_of(head) is not None:
        raise TooLarge
    found = await documents.read(await asyncio.to_thread(path.read_bytes), filename, owner=owner)
    if found.pages:
        text = Text("\f".join(page.text for page in found.pages), "pages")
    else:
        text = Text(found.text, kind_of(filename))
    if len(text.text) > MOST_CHARACTERS:
        raise TooLarge
    return text


def _decoded(path: Path, head: bytes) -> str:
    encoding = encoding_of(head)
    if encoding is None:
        raise Unsupported("files of this type cannot be read as text")
    try:
        return _in_steps(path, encoding)
    except UnicodeDecodeError:
        return _in_steps(path, "cp1252")


def _in_steps(path: Path, encoding: str) -> str:
    decoder = codecs.getincrementaldecoder(encoding)("replace" if encoding == "cp1252" else "strict")
    pieces: list[str] = []
    size = 0
    for step in _steps(path):
        pieces.append(decoder.decode(step))
        size += len(pieces[-1])
        if size > MOST_CHARACTERS:
            raise TooLarge
        if "\0" in pieces[-1]:
            raise Unsupported("files of this type cannot be read as text")
    pieces.append(decoder.decode(b"", final=True))
    return "".join(pieces)


def _steps(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while step := file.read(_STEP):
            yield step
