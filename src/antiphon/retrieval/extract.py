"""Takes the text out of a document, and pictures of its pages: what a child process does.

Documents come from strangers, and what opens them is native code.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct

from antiphon.retrieval.kinds import PDF

Images = Literal["none", "blank", "all"]
"""Which pages are wanted as pictures: none, those without text, or all."""

DPI = 100
MOST_CHARACTERS = 40_000_000
"""Of the text of a document: more would hold whoever reads the answer, and fits no file of a store."""
TOO_LONG = f"it has more than {MOST_CHARACTERS:,} characters"
_ARCHIVES = ("application/zip", "application/x-", "application/gzip", "image/", "audio/", "video/")


class Page(Struct, frozen=True):
    """A page of a PDF."""

    number: int
    text: str
    image: bytes | None = None
    """PNG."""


class Found(Struct, frozen=True):
    text: str = ""
    pages: tuple[Page, ...] = ()
    fault: str = ""
    """Why there is nothing."""


def text_of_document(data: bytes, media_type: str) -> Found:
    """The text of a document; an empty type is found out."""
    try:
        import kreuzberg
    except ImportError:
        return Found(fault="this server has no library for documents: install 'kreuzberg' beside it")
    try:
        return _extract(kreuzberg, data, media_type)
    except (kreuzberg.KreuzbergError, RuntimeError, ValueError, OSError) as error:
        return Found(fault=str(error) or type(error).__name__)


def pictures_of_pages(data: bytes, numbers: list[int], seconds: float) -> list[tuple[int, bytes]]:
    """PNGs of the pages of a PDF with these numbers: as many as can be made in so many seconds of processor
    time, and at least one."""
    import kreuzberg

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "document.pdf"
        path.write_bytes(data)
        try:
            return list(_rendered(kreuzberg, path, numbers, time.process_time() + seconds))
        except (kreuzberg.KreuzbergError, RuntimeError, ValueError, OSError):
            return []


def _extract(library: Any, data: bytes, media_type: str) -> Found:
    media_type = media_type or library.detect_mime_type_from_bytes(data)
    if media_type.startswith(_ARCHIVES):
        return Found(fault="it is no document")
    settings = library.ExtractionConfig(
        use_cache=False,  # which would be a folder of everybody's documents
        output_format="markdown",
        pages=library.PageConfig(extract_pages=True),
    )
    found = library.extract_bytes_sync(data, media_type, config=settings)
    if len(found.content) > MOST_CHARACTERS:
        return Found(fault=TOO_LONG)
    if media_type != PDF:
        return Found(found.content)
    pages = (Page(page["page_number"], page["content"].strip()) for page in found.pages or ())
    return Found(found.content, tuple(pages))


def _rendered(library: Any, path: Path, numbers: list[int], end: float) -> Iterator[tuple[int, bytes]]:
    for number in numbers:
        yield number, library.render_pdf_page(path, number - 1, dpi=DPI)
        if time.process_time() > end:
            return
