"""What becomes of images, files and sound that items have attached."""

import base64
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.drawn import drawn
from tests.papers import docx, pdf, png, pptx, xlsx
from tests.website import Page, Website, redirect

from antiphon.context.attachments import Attachments
from antiphon.guard.addresses import anywhere, is_public
from antiphon.model import Capabilities
from antiphon.protocol.client_items import ComputerCallOutput, CustomToolCallOutput, FunctionCallOutput
from antiphon.protocol.content import (
    AudioData,
    ComputerScreenshot,
    InputAudio,
    InputFile,
    InputImage,
    InputText,
)
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.items import InputMessage
from antiphon.retrieval.documents import Documents
from antiphon.retrieval.pictures import Pictures
from antiphon.web.fetch import Fetcher

SEES = Capabilities(images=True, audio=True)
BLIND = Capabilities(images=False)
READS = Capabilities(files=True)
PHOTO = png()
JPEG, GIF, WEBP = (drawn(8, 6, form) for form in ("JPEG", "GIF", "WEBP"))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def data(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{b64(content)}"


@dataclass(frozen=True)
class Stored:
    id: str
    filename: str
    content: bytes
    told_size: int | None = None

    @property
    def size(self) -> int:
        return len(self.content) if self.told_size is None else self.told_size


class Shelf:
    """Files of project `p`."""

    def __init__(self) -> None:
        self.files: dict[str, Stored] = {}
        self.lost: set[str] = set()

    def put(self, filename: str, content: bytes, told_size: int | None = None) -> str:
        file_id = f"file-{len(self.files)}"
        self.files[file_id] = Stored(file_id, filename, content, told_size)
        return file_id

    async def file(self, project: str, file_id: str) -> Stored | None:
        return self.files.get(file_id) if project == "p" else None

    async def content(self, file: Any) -> bytes | None:
        return None if file.id in self.lost else self.files[file.id].content


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def site() -> Iterator[Website]:
    with Website() as site:
        yield site


@pytest.fixture(scope="module")
def documents() -> Documents:
    return Documents()


@pytest.fixture
async def pictures() -> AsyncIterator[Pictures]:
    pictures = Pictures()
    yield pictures
    await pictures.close()


@pytest.fixture
async def attachments(shelf: Shelf, documents: Documents, pictures: Pictures) -> AsyncIterator[Attachments]:
    fetcher = Fetcher(anywhere, 100_000, 10)
    yield Attachments(shelf, fetcher, documents, pictures)
    await fetcher.close()


async def shown(
    attachments: Attachments, *parts: Any, can: Capabilities = SEES, project: str = "p"
) -> list[Any]:
    """What the parts of a user's message are for a model."""
    message = InputMessage(role="user", content=parts)
    attached = await attachments.resolve(project, [message], [message], can)
    read = attached(message)
    assert isinstance(read, InputMessage)
    assert isinstance(read.content, tuple)
    return list(read.content)


async def fault(attachments: Attachments, part: Any, **kwargs: Any) -> tuple[str | None, str | None]:
    """Code and param of the refusal."""
    with pytest.raises(InvalidRequest) as caught:
        await shown(attachments, InputText(text="Look"), part, **kwargs)
    assert caught.value.message
    return caught.value.code, caught.value.param


def at(member: str) -> str:
    return f"input[0].content[1].{member}"


# ---- images -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "content"), [("png", PHOTO), ("jpeg", JPEG), ("gif", GIF), ("webp", WEBP)])
async def test_an_image_here_is_passed_on_as_it_is(
    attachments: Attachments, kind: str, content: bytes
) -> None:
    url = data(f"image/{kind}", content)

    assert await shown(attachments, InputImage(image_url=url, detail="low")) == [
        InputImage(image_url=url, detail="low")
    ]


@pytest.mark.parametrize(
    "url",
    [
        data("image/jpg", PHOTO),
        data("image/jpeg", PHOTO),
        data("IMAGE/PNG", PHOTO),
        f"DATA:image/png;base64,{b64(PHOTO)}",
        f"data:image/png;charset=utf-8;BASE64,{b64(PHOTO)}",
        f"data:image/png;base64,{b64(PHOTO)[:20]}\r\n {b64(PHOTO)[20:]}",
    ],
)
async def test_an_image_here_gets_the_type_that_it_has(attachments: Attachments, url: str) -> None:
    [image] = await shown(attachments, InputImage(image_url=url))

    assert base64.b64decode(image.image_url.removeprefix("data:image/png;base64,")) == PHOTO


async def test_an_image_by_url_is_fetched_and_stands_here(attachments: Attachments, site: Website) -> None:
    site.pages |= {"/a": redirect("/b"), "/b": Page(PHOTO, "application/octet-stream")}

    assert await shown(attachments, InputImage(image_url=f"{site.url}/a")) == [
        InputImage(image_url=data("image/png", PHOTO), detail="auto")
    ]


async def test_an_image_by_file_id_stands_here(attachments: Attachments, shelf: Shelf) -> None:
    file_id = shelf.put("photo", PHOTO)

    assert await shown(attachments, InputImage(file_id=file_id, detail="original")) == [
        InputImage(image_url=data("image/png", PHOTO), detail="original")
    ]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("data:image/png;base64,!!!!", "invalid_base64_image"),
        ("data:image/png;base64,iVBOR", "invalid_base64_image"),
        ("data:image/png;base64,é", "invalid_base64_image"),
        ("data:image/png,iVBORw0KGgo=", "invalid_base64_image"),
        ("data:", "invalid_base64_image"),
        ("data:image/png;base64,", "empty_image_file"),
        (data("text/plain", PHOTO), "unsupported_image_media_type"),
        (data("application/pdf", PHOTO), "unsupported_image_media_type"),
        (data("image/png", b"no image"), "invalid_image_format"),
        (data("image/svg+xml", b"<svg/>"), "invalid_image_format"),
        (data("image/bmp", b"BM0000"), "invalid_image_format"),
        ("file:///etc/passwd", "invalid_image_url"),
        ("photo.png", "invalid_image_url"),
        ("http://user:pw@127.0.0.1/", "invalid_image_url"),
    ],
)
async def test_an_image_that_is_none_is_refused_where_it_stands(
    attachments: Attachments, url: str, code: str
) -> None:
    assert await fault(attachments, InputImage(image_url=url)) == (code, at("image_url"))


async def test_an_image_that_cannot_be_fetched_is_refused(attachments: Attachments, site: Website) -> None:
    site.pages |= {
        "/page": Page(b"<html>", "image/png"),
        "/empty": Page(b""),
        "/large": Page(PHOTO + b"x" * 100_000),
    }
    for path, code in {
        "/absent": "failed_to_download_image",
        "/page": "invalid_image_format",
        "/empty": "empty_image_file",
        "/large": "image_too_large",
    }.items():
        assert await fault(attachments, InputImage(image_url=site.url + path)) == (code, at("image_url"))


async def test_an_image_within_our_network_is_refused(
    shelf: Shelf, documents: Documents, site: Website
) -> None:
    site.pages["/x"] = Page(PHOTO)
    fetcher = Fetcher(is_public)
    try:
        refusal = await fault(
            Attachments(shelf, fetcher, documents, Pictures()), InputImage(image_url=f"{site.url}/x")
        )
    finally:
        await fetcher.close()

    assert refusal == ("invalid_image_url", at("image_url"))
    assert site.asked == []


async def test_an_image_file_that_is_none_is_refused(attachments: Attachments, shelf: Shelf) -> None:
    lost = shelf.put("lost", PHOTO)
    shelf.lost.add(lost)
    for file_id, code in {
        "file-unknown": "image_file_not_found",
        lost: "image_file_not_found",
        shelf.put("empty", b""): "empty_image_file",
        shelf.put("text", b"Hello"): "invalid_image_format",
        shelf.put("large", PHOTO, 50 * 2**20 + 1): "image_file_too_large",
    }.items():
        assert await fault(attachments, InputImage(file_id=file_id)) == (code, at("file_id"))


async def test_a_file_of_another_project_is_not_found(attachments: Attachments, shelf: Shelf) -> None:
    image, file = InputImage(file_id=shelf.put("a.png", PHOTO)), InputFile(file_id=shelf.put("a", b"x"))

    assert await fault(attachments, image, project="q") == ("image_file_not_found", at("file_id"))
    assert await fault(attachments, file, project="q") == ("file_not_found", at("file_id"))


async def test_an_image_from_nowhere_or_from_two_places_is_refused(attachments: Attachments) -> None:
    assert await fault(attachments, InputImage()) == ("missing_required_parameter", at("image_url"))
    both = InputImage(image_url="https://x.example/", file_id="file-1")
    assert await fault(attachments, both) == ("mutually_exclusive_parameters", at("file_id"))


async def test_nothing_is_fetched_for_a_model_that_reads_no_images(
    attachments: Attachments, site: Website
) -> None:
    """It is refused for what the model cannot do, once all is known."""
    [image] = await shown(attachments, InputImage(image_url=f"{site.url}/x"), can=BLIND)

    assert image.image_url
    assert site.asked == []


# ---- files ------------------------------------------------------------------------------------------


async def text(attachments: Attachments, filename: str, content: bytes, **members: Any) -> str:
    [part] = await shown(attachments, InputFile(file_data=b64(content), filename=filename), **members)
    assert isinstance(part, InputText)
    return part.text


@pytest.mark.parametrize(
    ("filename", "content"),
    [
        ("a.txt", b"Hello"),
        ("a.md", b"# Hello"),
        ("a.csv", b"Hello,1\n"),
        ("a.json", b'{"a": "Hello"}'),
        ("a.py", b"print('Hello')"),
        ("no ending", b"Hello"),
        ("bom.txt", b"\xef\xbb\xbfHello"),
        ("wide.txt", "Hello".encode("utf-16")),
        ("old.txt", "Hello, café".encode("cp1252")),
        ("a.html", b"<html><body><p>Hello</p><script>evil()</script></body></html>"),
        ("a.rtf", rb"{\rtf1\ansi Hello}"),
        ("a.eml", b"From: a@example.org\nSubject: Hi\n\nHello\n"),
        ("a.pdf", pdf("Hello")),
        ("misnamed.txt", pdf("Hello")),
        ("a.docx", docx("Hello")),
        ("a.xlsx", xlsx("Hello", "42")),
        ("a.pptx", pptx("Hello")),
        ("no ending", docx("Hello")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_file_is_read_as_its_text_under_its_name(
    attachments: Attachments, filename: str, content: bytes
) -> None:
    told = await text(attachments, filename, content)

    assert told.startswith(f'\n<file name="{filename}">\n')
    assert "Hello" in told
    assert "evil" not in told
    assert told.endswith("\n</file>\n")


async def test_a_file_comes_by_data_url_by_file_id_and_by_url(
    attachments: Attachments, shelf: Shelf, site: Website
) -> None:
    site.pages["/docs/a.txt"] = Page(b"Hello", "text/plain")
    told = [InputText(text='\n<file name="a.txt">\nHello\n</file>\n')]

    for part in (
        InputFile(file_data=data("text/plain", b"Hello"), filename="a.txt"),
        InputFile(file_id=shelf.put("a.txt", b"Hello")),
        InputFile(file_url=f"{site.url}/docs/a.txt?x=1"),
        InputFile(file_url=f"{site.url}/docs/a.txt", filename="a.txt"),
    ):
        assert await shown(attachments, part) == told


async def test_a_model_that_reads_files_gets_a_pdf_as_it_is_and_the_text_of_others(
    attachments: Attachments,
) -> None:
    paper = pdf("Hello")

    assert await shown(attachments, InputFile(file_data=b64(paper), filename="a.pdf"), can=READS) == [
        InputFile(file_data=data("application/pdf", paper), filename="a.pdf")
    ]
    assert "Hello" in await text(attachments, "a.docx", docx("Hello"), can=READS)


async def test_pages_without_text_are_shown_as_pictures(attachments: Attachments) -> None:
    words, label, picture = await shown(
        attachments, InputFile(file_data=b64(pdf("One", "", "Three")), filename="a.pdf", detail="low")
    )

    assert "One" in words.text
    assert "Three" in words.text
    assert label == InputText(text='\nPage 2 of "a.pdf":\n')
    assert picture.detail == "low"
    assert base64.b64decode(picture.image_url.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")


async def test_with_high_detail_every_page_is_shown(attachments: Attachments) -> None:
    parts = await shown(
        attachments, InputFile(file_data=b64(pdf("One", "Two")), filename="a.pdf", detail="high")
    )

    assert [type(part) for part in parts] == [InputText, InputText, InputImage, InputText, InputImage]


async def test_no_more_pages_are_shown_than_fit_and_the_model_reads_so(shelf: Shelf, site: Website) -> None:
    fetcher = Fetcher(anywhere)
    few = Attachments(shelf, fetcher, Documents(max_images=1), Pictures())
    words, _, _ = await shown(few, InputFile(file_data=b64(pdf("One", "", "")), filename="a.pdf"))
    await fetcher.close()

    assert "[No text and no picture of page 3.]" in words.text


async def test_a_model_that_sees_nothing_reads_which_pages_have_no_text(attachments: Attachments) -> None:
    told = await text(attachments, "a.pdf", pdf("One", ""), can=BLIND)

    assert "[No text and no picture of page 2.]" in told


async def test_a_document_without_text_is_no_use_to_a_model_that_sees_nothing(
    attachments: Attachments,
) -> None:
    scan = InputFile(file_data=b64(pdf("", "")), filename="a.pdf")

    assert await fault(attachments, scan, can=BLIND) == ("invalid_file", at("file_data"))


async def test_an_image_sent_as_a_file_is_an_image(attachments: Attachments) -> None:
    assert await shown(attachments, InputFile(file_data=b64(PHOTO), filename="a.png")) == [
        InputImage(image_url=data("image/png", PHOTO), detail="auto")
    ]


@pytest.mark.parametrize(
    ("content", "filename", "code"),
    [
        (b"\0\1\2\3" * 100, "a.bin", "unsupported_file"),
        (b"\0\1\2\3" * 100, "a.txt", "unsupported_file"),
        (b"PK\x03\x04nonsense", "a.zip", "invalid_file"),
        (b"PK\x03\x04nonsense", "a.docx", "invalid_file"),
        (b"%PDF-1.4 nonsense", "a.pdf", "invalid_file"),
        (pdf("One")[:200], "a.pdf", "invalid_file"),
        (b"\xd0\xcf\x11\xe0nonsense", "a.doc", "invalid_file"),
        (b"\xd0\xcf\x11\xe0nonsense", "a", "unsupported_file"),
    ],
)
async def test_a_file_that_cannot_be_read_is_refused(
    attachments: Attachments, content: bytes, filename: str, code: str
) -> None:
    part = InputFile(file_data=b64(content), filename=filename)

    assert await fault(attachments, part) == (code, at("file_data"))


async def test_a_file_that_is_not_there_is_refused(
    attachments: Attachments, shelf: Shelf, site: Website
) -> None:
    site.pages["/large"] = Page(b"x" * 100_001)
    large = shelf.put("large", b"", 50 * 2**20 + 1)

    for part, code, member in (
        (InputFile(), "missing_required_parameter", "file_id"),
        (InputFile(filename="a.txt"), "missing_required_parameter", "file_id"),
        (InputFile(file_id="file-1", file_data="x"), "mutually_exclusive_parameters", "file_data"),
        (InputFile(file_id="file-unknown"), "file_not_found", "file_id"),
        (InputFile(file_id=large), "file_too_large", "file_id"),
        (InputFile(file_data="!"), "invalid_value", "file_data"),
        (InputFile(file_data="data:text/plain,Hello"), "invalid_value", "file_data"),
        (InputFile(file_url="ftp://example.org/"), "invalid_file_url", "file_url"),
        (InputFile(file_url=f"{site.url}/absent"), "failed_to_download_file", "file_url"),
        (InputFile(file_url=f"{site.url}/large"), "file_too_large", "file_url"),
    ):
        assert await fault(attachments, part) == (code, at(member))


async def test_a_document_that_takes_too_long_is_refused(shelf: Shelf) -> None:
    fetcher = Fetcher(anywhere)
    part = InputFile(file_data=b64(docx("Hello")), filename="a.docx")
    refusal = await fault(Attachments(shelf, fetcher, Documents(seconds=0.001), Pictures()), part)
    await fetcher.close()

    assert refusal == ("invalid_file", at("file_data"))


async def test_all_that_one_request_loads_has_a_bound(shelf: Shelf, documents: Documents) -> None:
    fetcher = Fetcher(anywhere)
    ids = [shelf.put(f"{n}", b"0123456789") for n in range(2)]

    with pytest.raises(InvalidRequest) as caught:
        await shown(
            Attachments(shelf, fetcher, documents, Pictures(), most=15),
            *(InputFile(file_id=file_id) for file_id in ids),
        )
    await fetcher.close()

    assert caught.value.code == "request_too_large"


# ---- sound ------------------------------------------------------------------------------------------


async def test_sound_is_passed_on_as_it_is(attachments: Attachments) -> None:
    sound = InputAudio(input_audio=AudioData(data=b64(b"sound"), format="mp3"))

    assert await shown(attachments, sound) == [sound]


@pytest.mark.parametrize("wrong", ["", "!", "data:audio/mp3;base64,AA=="])
async def test_sound_that_is_none_is_refused(attachments: Attachments, wrong: str) -> None:
    part = InputAudio(input_audio=AudioData(data=wrong, format="mp3"))

    assert await fault(attachments, part) == ("invalid_value", at("input_audio.data"))


# ---- where they stand -------------------------------------------------------------------------------


async def test_outputs_of_tools_and_screenshots_are_resolved_too(
    attachments: Attachments, shelf: Shelf
) -> None:
    photo, note = shelf.put("a.png", PHOTO), shelf.put("a.txt", b"Hello")
    url = data("image/png", PHOTO)
    parts: list[Any] = [InputText(text="See"), InputImage(file_id=photo), InputFile(file_id=note)]
    items = [
        FunctionCallOutput(call_id="1", output=parts),
        CustomToolCallOutput(call_id="2", output=parts),
        ComputerCallOutput(call_id="3", output=ComputerScreenshot(file_id=photo, detail="high")),
    ]

    attached = await attachments.resolve("p", items, items, SEES)

    first, second, third = map(attached, items)
    read = [
        InputText(text="See"),
        InputImage(image_url=url, detail="auto"),
        InputText(text='\n<file name="a.txt">\nHello\n</file>\n'),
    ]
    assert isinstance(first, FunctionCallOutput)
    assert isinstance(second, CustomToolCallOutput)
    assert isinstance(third, ComputerCallOutput)
    assert first.output == second.output == tuple(read)
    assert third.output.image_url == url
    assert items[0].output is parts, "what is stored stays as it was sent"


async def test_faults_are_reported_where_they_stand_and_those_of_the_past_of_all_input(
    attachments: Attachments,
) -> None:
    old: Any = InputMessage(role="user", content=(InputImage(file_id="file-gone"),))
    new: Any = FunctionCallOutput(call_id="1", output=(InputFile(file_id="file-gone"),))
    shot: Any = ComputerCallOutput(call_id="2", output=ComputerScreenshot(file_id="file-gone"))

    for items, given, param in (
        ([old], [], "input"),
        ([old, new], [new], None),
        ([new], [shot, new], "input[1].output[0].file_id"),
        ([shot], [shot], "input[0].output.file_id"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            await attachments.resolve("p", items, given, SEES)
        assert param is None or caught.value.param == param


async def test_items_without_attachments_are_left_alone(attachments: Attachments) -> None:
    message = InputMessage(role="user", content=(InputText(text="Hello"),))

    attached = await attachments.resolve("p", [message], [message], SEES)

    assert attached(message) is message


async def test_an_image_that_comes_twice_is_fetched_once(attachments: Attachments, site: Website) -> None:
    site.pages["/x"] = Page(PHOTO)

    await shown(attachments, *[InputImage(image_url=f"{site.url}/x")] * 3)

    assert len(site.asked) == 1
