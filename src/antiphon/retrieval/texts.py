"""The text of a file that is to be searched, and how it is cut."""

import asyncio
import codecs

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
"""Bytes that are decoded in one go: the interpreter does nothing else meanwhile."""
_MARKUP = 64 * 2**20
"""Bytes of a document of text, such as HTML, that is read."""


class Text(Struct, frozen=True):
    text: str
    kind: Kind


class TooLarge(Unreadable):
    """It has more text than a file may have."""

    def __init__(self) -> None:
        super().__init__(f"it is too large: a file may have {MOST_TOKENS:,} tokens")


async def read_text(documents: Documents, data: bytes, filename: str, owner: str) -> Text:
    """`owner`: whose document it is. Raises Unsupported; Unreadable for what is broken, empty or too
    large."""
    head = document_type(data[:_HEAD], filename)
    if head == TEXT:
        text = Text(await asyncio.to_thread(_decoded, data), kind_of(filename))
    else:
        text = await _extracted(documents, data, filename, owner, head)
    if not text.text or text.text.isspace():
        raise Unreadable("no text was found in it")
    return text


async def _extracted(documents: Documents, data: bytes, filename: str, owner: str, head: str | None) -> Text:
    """`head`: the type, by the first bytes."""
    if len(data) > _MARKUP and head != PDF and encoding_of(data[:_HEAD]) is not None:
        raise TooLarge
    found = await documents.read(data, filename, owner=owner)
    if found.pages:
        text = Text("\f".join(page.text for page in found.pages), "pages")
    else:
        text = Text(found.text, kind_of(filename))
    if len(text.text) > MOST_CHARACTERS:
        raise TooLarge
    return text


def _decoded(data: bytes) -> str:
    encoding = encoding_of(data[:_HEAD])
    if encoding is None:
        raise Unsupported("files of this type cannot be read as text")
    try:
        return _in_steps(data, encoding)
    except UnicodeDecodeError:
        return _in_steps(data, "cp1252")


def _in_steps(data: bytes, encoding: str) -> str:
    decoder = codecs.getincrementaldecoder(encoding)("replace" if encoding == "cp1252" else "strict")
    pieces: list[str] = []
    size = 0
    for begin in range(0, len(data), _STEP):
        pieces.append(decoder.decode(data[begin : begin + _STEP]))
        size += len(pieces[-1])
        if size > MOST_CHARACTERS:
            raise TooLarge
        if "\0" in pieces[-1]:
            raise Unsupported("files of this type cannot be read as text")
    pieces.append(decoder.decode(b"", final=True))
    return "".join(pieces)
