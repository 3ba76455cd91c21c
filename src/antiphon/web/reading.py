"""Takes the text out of a page of the web: what a child process does. Pages come from strangers."""

from typing import Any

from msgspec import Struct


class Read(Struct, frozen=True):
    """What a page says."""

    title: str = ""
    text: str = ""
    """Markdown, with its links."""


MOST_CHARACTERS = 2_000_000
MOST_OF_A_TITLE = 300


def text_of_page(data: bytes, url: str) -> Read:
    """The text of an HTML page, without what stands around it; all of it when nothing seems to be the text
    proper."""
    import trafilatura

    found = trafilatura.extract(
        data,
        url=url,
        output_format="markdown",
        include_links=True,
        include_tables=True,
        include_comments=False,
        favor_recall=True,
    )
    text = found or trafilatura.html2txt(data) or ""
    return Read(_title(trafilatura, data), text[:MOST_CHARACTERS])


def _title(library: Any, data: bytes) -> str:
    about = library.extract_metadata(data)
    title = str(about.title or "") if about is not None else ""
    return " ".join(title.split())[:MOST_OF_A_TITLE]
