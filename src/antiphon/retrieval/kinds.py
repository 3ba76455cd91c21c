"""What kind of file some bytes are: by what they begin with, and only then by how they are called."""

import codecs
from pathlib import PurePath

PDF = "application/pdf"
HTML = "text/html"
TEXT = "text/plain"

_OFFICE = "application/vnd.openxmlformats-officedocument"
_OPEN = "application/vnd.oasis.opendocument"

# What lies in a ZIP archive, and what in Microsoft's older containers, only the name says.
_ZIPPED = {
    ".docx": f"{_OFFICE}.wordprocessingml.document",
    ".xlsx": f"{_OFFICE}.spreadsheetml.sheet",
    ".pptx": f"{_OFFICE}.presentationml.presentation",
    ".odt": f"{_OPEN}.text",
    ".ods": f"{_OPEN}.spreadsheet",
    ".odp": f"{_OPEN}.presentation",
    ".epub": "application/epub+zip",
}
_OLDER = {
    ".doc": "application/msword",
    ".xls": "application/vnd.ms-excel",
    ".ppt": "application/vnd.ms-powerpoint",
    ".msg": "application/vnd.ms-outlook",
}
_BY_NAME = {".html": HTML, ".htm": HTML, ".xhtml": HTML, ".eml": "message/rfc822"}

_IMAGES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def image_type(data: bytes) -> str | None:
    """The media type of an image that models read (PNG, JPEG, GIF, WebP)."""
    for magic, kind in _IMAGES:
        if data.startswith(magic):
            return kind
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def document_type(data: bytes, filename: str = "", media_type: str = "") -> str | None:
    """The media type of a document that text can be taken from. Empty: an archive of some kind, which whoever
    opens it has to look into. None: nothing that has text."""
    ending = PurePath(filename).suffix.lower()
    if b"%PDF-" in data[:1024]:
        return PDF
    if data.startswith(b"{\\rtf"):
        return "application/rtf"
    if data.startswith(b"PK\x03\x04"):
        return _named(ending, media_type, _ZIPPED) or ""
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        return _named(ending, media_type, _OLDER)
    if text_of(data) is None:
        return None
    start = data[:256].lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return HTML
    return _named(ending, media_type, _BY_NAME) or TEXT


def text_of(data: bytes) -> str | None:
    """The bytes as text; None when they are none."""
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace") if _looks_western(data) else "\0"
    return None if "\0" in text else text


def encoding_of(head: bytes) -> str | None:
    """What a text is probably written in, by its first bytes; None: it is none."""
    encoding = next((name for bom, name in _BOMS if head.startswith(bom)), None)
    if encoding is not None:
        return encoding
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # a character may be cut off at the end
    except UnicodeDecodeError:
        return "cp1252" if _looks_western(head) else None
    return None if b"\0" in head else "utf-8"


def _named(ending: str, media_type: str, kinds: dict[str, str]) -> str | None:
    declared = media_type.partition(";")[0].strip().lower()
    return declared if declared in kinds.values() else kinds.get(ending)


def _looks_western(data: bytes) -> bool:
    """Text of an older encoding has hardly any control characters."""
    sample = data[:4096]
    controls = sum(byte < 32 and byte not in b"\t\n\r\f" for byte in sample)
    return controls == 0
