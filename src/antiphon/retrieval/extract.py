"""Takes the text out of a document: `python -m antiphon.retrieval.extract`, a process of its own.

Documents come from strangers, and what opens them is native code. So that happens in a child with a bound on
its memory and time, and without our secrets: whatever it does, we go on. The document comes on stdin, a
`Job` before it; a `Found` goes to stdout.
"""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct

from antiphon.retrieval.kinds import PDF

Images = Literal["none", "blank", "all"]
"""Which pages are wanted as pictures: none, those without text, or all."""

MISSING = 3
"""Our exit status without the library."""
DPI = 100
MAX_MEMORY = 2 * 2**30
_ARCHIVES = ("application/zip", "application/x-", "application/gzip", "image/", "audio/", "video/")


class Job(Struct, frozen=True):
    media_type: str
    """Empty: to be found out."""
    images: Images = "none"
    max_images: int = 20


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


def main() -> None:
    _limit_memory()
    head, _, data = sys.stdin.buffer.read().partition(b"\n")
    job = msgspec.json.decode(head, type=Job)
    try:
        import kreuzberg
    except ImportError:
        sys.exit(MISSING)
    try:
        found = _extract(kreuzberg, data, job)
    except (kreuzberg.KreuzbergError, RuntimeError, ValueError, OSError) as error:
        found = Found(fault=str(error) or type(error).__name__)
    sys.stdout.buffer.write(msgspec.msgpack.encode(found))


def _limit_memory() -> None:
    """Where the system knows such limits."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))


def _extract(library: Any, data: bytes, job: Job) -> Found:
    media_type = job.media_type or library.detect_mime_type_from_bytes(data)
    if media_type.startswith(_ARCHIVES):
        return Found(fault="it is no document")
    settings = library.ExtractionConfig(
        use_cache=False,  # which would be a folder of everybody's documents
        output_format="markdown",
        pages=library.PageConfig(extract_pages=True),
    )
    found = library.extract_bytes_sync(data, media_type, config=settings)
    if media_type != PDF:
        return Found(found.content)
    texts = {page["page_number"]: page["content"].strip() for page in found.pages or ()}
    images = _pictures(library, data, texts, job) if job.images != "none" else {}
    pages = tuple(Page(number, text, images.get(number)) for number, text in texts.items())
    return Found(found.content, pages)


def _pictures(library: Any, data: bytes, texts: dict[int, str], job: Job) -> dict[int, bytes]:
    wanted = [number for number, text in texts.items() if job.images == "all" or not text]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "document.pdf"
        path.write_bytes(data)
        return dict(_rendered(library, path, wanted[: job.max_images]))


def _rendered(library: Any, path: Path, numbers: list[int]) -> Iterator[tuple[int, bytes]]:
    for number in numbers:
        yield number, library.render_pdf_page(path, number - 1, dpi=DPI)


if __name__ == "__main__":
    main()
