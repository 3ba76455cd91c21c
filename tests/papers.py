"""Documents and images for tests, made by hand."""

import base64
import io
import struct
import zipfile
import zlib

PNG = b"\x89PNG\r\n\x1a\n"


def png(width: int = 2, height: int = 2) -> bytes:
    """A black picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\0" * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return PNG + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def picture_url(data: bytes | None = None) -> str:
    """A picture as a PNG's data URL: one pixel where nothing is given."""
    return f"data:image/png;base64,{base64.b64encode(data or png(1, 1)).decode()}"


def pdf(*pages: str) -> bytes:
    """A page for each text; an empty one has a picture in the text's place."""
    drawn = (f"BT /F1 18 Tf 20 100 Td ({text}) Tj ET" if text else _SQUARE for text in pages)
    return _pdf([each.encode() for each in drawn])


def laborious_pdf(pages: int, strokes: int) -> bytes:
    """A small file whose pages take long to read: each has so many squares."""
    return _pdf([zlib.compress(f"{_SQUARE}\n".encode() * strokes, 9)] * pages, " /Filter /FlateDecode")


def pdf_of_size(side: int) -> bytes:
    """One page, so many points wide and high."""
    return _pdf([_SQUARE.encode()], side=side)


_SQUARE = "0 0 1 rg 20 20 100 100 re f"


def _pdf(drawn: list[bytes], how: str = "", side: int = 200) -> bytes:
    """A PDF of what is drawn on each page; `how` says how that is packed."""
    kids = " ".join(f"{3 + 2 * number} 0 R" for number in range(len(drawn)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(drawn)} >>".encode(),
    ]
    font = "<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >>"
    for number, page in enumerate(drawn):
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {side} {side}] /Contents {4 + 2 * number} 0 R"
            f" /Resources {font} >>".encode(),
            f"<< /Length {len(page)}{how} >>\nstream\n".encode() + page + b"\nendstream",
        ]
    written, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(written))
        written += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    tail = b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(written))
    return written + head + table + tail


_OOXML = "http://schemas.openxmlformats.org"
_DOCUMENT = f"{_OOXML}/officeDocument/2006/relationships"
_HEAD = '<?xml version="1.0" encoding="UTF-8"?>'


def docx(text: str) -> bytes:
    body = (
        f'<w:document xmlns:w="{_OOXML}/wordprocessingml/2006/main"><w:body><w:p><w:r><w:t>{text}</w:t>'
        "</w:r></w:p></w:body></w:document>"
    )
    return _office("word/document.xml", "wordprocessingml.document", {"word/document.xml": body})


def xlsx(*cells: str) -> bytes:
    sheet = f"{_OOXML}/spreadsheetml/2006/main"
    row = "".join(
        f'<c r="{chr(65 + n)}1" t="inlineStr"><is><t>{cell}</t></is></c>' for n, cell in enumerate(cells)
    )
    return _office(
        "xl/workbook.xml",
        "spreadsheetml.sheet",
        {
            "xl/workbook.xml": f'<workbook xmlns="{sheet}" xmlns:r="{_DOCUMENT}"><sheets>'
            '<sheet name="Sheet" sheetId="1" r:id="r1"/></sheets></workbook>',
            "xl/_rels/workbook.xml.rels": _relation("worksheet", "worksheets/sheet1.xml"),
            "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{sheet}"><sheetData><row r="1">{row}</row>'
            "</sheetData></worksheet>",
        },
    )


def pptx(text: str) -> bytes:
    slide = f"{_OOXML}/presentationml/2006/main"
    return _office(
        "ppt/presentation.xml",
        "presentationml.presentation",
        {
            "ppt/presentation.xml": f'<p:presentation xmlns:p="{slide}" xmlns:r="{_DOCUMENT}"><p:sldIdLst>'
            '<p:sldId id="256" r:id="r1"/></p:sldIdLst></p:presentation>',
            "ppt/_rels/presentation.xml.rels": _relation("slide", "slides/slide1.xml"),
            "ppt/slides/slide1.xml": f'<p:sld xmlns:p="{slide}" xmlns:a="{_OOXML}/drawingml/2006/main">'
            f"<p:cSld><p:spTree><p:sp><p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp></p:spTree>"
            "</p:cSld></p:sld>",
        },
    )


def _office(main: str, kind: str, files: dict[str, str]) -> bytes:
    package = f"{_OOXML}/package/2006"
    types = (
        f'<Types xmlns="{package}/content-types"><Default Extension="rels" ContentType='
        '"application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType='
        f'"application/xml"/><Override PartName="/{main}" ContentType='
        f'"application/vnd.openxmlformats-officedocument.{kind}.main+xml"/></Types>'
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("[Content_Types].xml", _HEAD + types)
        archive.writestr("_rels/.rels", _relation("officeDocument", main))
        for name, text in files.items():
            archive.writestr(name, text if text.startswith("<?xml") else _HEAD + text)
    return packed.getvalue()


def _relation(kind: str, target: str) -> str:
    return (
        f'{_HEAD}<Relationships xmlns="{_OOXML}/package/2006/relationships"><Relationship Id="r1" '
        f'Type="{_DOCUMENT}/{kind}" Target="{target}"/></Relationships>'
    )
