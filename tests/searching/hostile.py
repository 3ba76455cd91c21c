"""Files of all kinds for vector stores: as people have them, and as nobody should send them."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

from tests.papers import docx, laborious_pdf, pdf, pdf_of_size, pptx, xlsx

SAYS = "forty-two lamps"
"""What every file says that can be read."""


@dataclass(frozen=True)
class Sample:
    """A file, and what its fate is."""

    name: str
    make: Callable[[], bytes]
    fault: str = ""
    """What `last_error` says; empty: the file is indexed."""


def _zip(names: dict[str, bytes], copies: int = 1) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in names.items():
            for copy in range(copies):
                archive.writestr(name if not copy else f"{copy}/{name}", data)
    return packed.getvalue()


def _bomb(name: str, megabytes: int) -> bytes:
    """An Office file whose one part is small, and huge once it is unpacked."""
    small = docx("BOMB")
    opened = zipfile.ZipFile(io.BytesIO(small))
    parts = {info.filename: opened.read(info) for info in opened.infolist()}
    parts[name] = parts[name].replace(b"BOMB", b"A" * (megabytes * 2**20))
    return _zip(parts)


def _nested(levels: int) -> bytes:
    data = b"A" * 2**20
    for level in range(levels):
        data = _zip({f"{level}.zip": data}, copies=10)
    return data


def _html(text: str) -> bytes:
    return f"<html><head><script>evil()</script></head><body><p>{text}</p></body></html>".encode()


KINDS = (
    Sample("report.pdf", lambda: pdf(SAYS)),
    Sample("report.docx", lambda: docx(SAYS)),
    Sample("slides.pptx", lambda: pptx(SAYS)),
    Sample("table.xlsx", lambda: xlsx("lamps", SAYS)),
    Sample("page.html", lambda: _html(SAYS)),
    Sample("notes.md", lambda: f"# Lamps\n\n{SAYS}.\n".encode()),
    Sample("code.py", lambda: f'def lamps():\n    """{SAYS}."""\n    return 42\n'.encode()),
    Sample("data.json", lambda: f'{{"said": "{SAYS}"}}'.encode()),
    Sample("data.csv", lambda: f"who,what\nkeeper,{SAYS}\n".encode()),
    Sample("utf8.txt", lambda: f"Größe: {SAYS}.".encode()),
    Sample("utf8-bom.txt", lambda: f"Größe: {SAYS}.".encode("utf-8-sig")),
    Sample("utf16.txt", lambda: f"Größe: {SAYS}.".encode("utf-16")),
    Sample("latin1.txt", lambda: f"Größe: {SAYS}.".encode("latin-1")),
)

_EMPTY = "no text was found in it"
_BROKEN = "could not be read"

BAD = (
    Sample("empty.txt", lambda: b"", _EMPTY),
    Sample("blank.txt", lambda: b" \n\t\n" * 100, _EMPTY),
    Sample("empty.pdf", lambda: b"", _EMPTY),
    Sample("picture.pdf", lambda: pdf(""), _EMPTY),
    Sample("head.pdf", lambda: b"%PDF-1.7\n", _BROKEN),
    Sample("cut.pdf", lambda: pdf(*[SAYS] * 20)[:700], _BROKEN),
    Sample("noise.pdf", lambda: b"%PDF-1.4\n" + bytes(range(256)) * 400, _BROKEN),
    Sample("cut.docx", lambda: docx(SAYS)[:200], _BROKEN),
    Sample("text.docx", lambda: b"PK\x03\x04 no archive at all", _BROKEN),
    Sample("program.txt", lambda: b"\x7fELF" + bytes(5000), "not supported"),
)

LARGE = (
    Sample("pages.pdf", lambda: pdf(*[f"Page {number}: {SAYS}" for number in range(1, 501)])),
    Sample("50-mb.txt", lambda: f"{SAYS}, and then once more.\n".encode() * 1_500_000, "too large"),
    Sample("50-mb.md", lambda: b"a" * (50 * 2**20), "too large"),
    Sample("50-mb.html", lambda: _html("<p>x</p>" * (50 * 2**20 // 8)), "more memory than there is"),
    Sample("90-mb.docx", lambda: docx("word " * (18 * 2**20)), "more than 40,000,000 characters"),
    Sample("300-mb.pdf", lambda: pdf(SAYS) + b"\n% padding" * 30_000_000),
    Sample("bomb.docx", lambda: _bomb("word/document.xml", 1500), _BROKEN),
    Sample("nested.docx", lambda: _nested(4), _BROKEN),
    Sample("laborious.pdf", lambda: laborious_pdf(200, 200_000), "took longer than 15 seconds"),
    Sample("wide.pdf", lambda: pdf_of_size(10**9), _EMPTY),
)
