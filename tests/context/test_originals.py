"""Files and images that items have attached, under the names by which tools find them."""

import time

import pytest
from tests.context.test_attached import PHOTO, Shelf, b64, data
from tests.website import Page, Website

from antiphon.context.attachments import Attachments
from antiphon.guard.addresses import anywhere
from antiphon.model import Capabilities
from antiphon.protocol.client_items import FunctionCallOutput
from antiphon.protocol.content import InputFile, InputImage, InputText
from antiphon.protocol.errors import InvalidRequest
from antiphon.protocol.items import InputMessage
from antiphon.retrieval.documents import Documents
from antiphon.retrieval.pictures import Pictures
from antiphon.web.fetch import Fetcher

Found = list[tuple[str, bytes]]


async def found(shelf: Shelf, *parts: InputFile | InputImage) -> Found:
    """Their names and bytes."""
    fetcher = Fetcher(anywhere, 100_000, 10)
    try:
        attachments = Attachments(shelf, fetcher, Documents(), Pictures())
        message = InputMessage(role="user", content=(InputText(text="Look"), *parts))
        output = FunctionCallOutput(call_id="1", output=tuple(parts[:1]))
        originals = await attachments.originals("p", [message, output], Capabilities())
        return [(each.name, await each.read()) for each in originals]
    finally:
        await fetcher.close()


async def test_each_is_there_once_as_it_was_given_whatever_the_model_reads() -> None:
    shelf = Shelf()
    kept, picture = shelf.put("ducks.csv", b"a,b"), shelf.put("duck.png", PHOTO)
    with Website() as site:
        site.pages["/a/boats%20of%20wood.txt"] = site.pages["/p.png"] = Page(PHOTO)
        parts = [
            InputFile(file_id=kept),
            InputFile(filename="paper.txt", file_data=b64(b"On rivers.")),
            InputFile(file_data=data("application/pdf", b"%PDF-")),
            InputFile(file_url=f"{site.url}/a/boats%20of%20wood.txt"),
            InputImage(file_id=picture),
            InputImage(image_url=data("image/png", PHOTO)),
            InputImage(image_url=f"{site.url}/p.png"),
        ]

        assert await found(shelf, *parts, *parts) == [
            ("ducks.csv", b"a,b"),
            ("paper.txt", b"On rivers."),
            ("file.pdf", b"%PDF-"),
            ("boats of wood.txt", PHOTO),
            ("duck.png", PHOTO),
            ("image.png", PHOTO),
            ("p.png", PHOTO),
        ]


async def test_no_two_have_one_name() -> None:
    names = ["a.txt", "a.txt", "a_2.txt", "a.txt", "b", "b"]
    parts = [InputFile(filename=name, file_data=b64(b"%d" % n)) for n, name in enumerate(names)]

    assert [name for name, _ in await found(Shelf(), *parts)] == [
        *("a.txt", "a_2.txt", "a_2_2.txt", "a_3.txt"),
        *("b", "b_2"),
    ]


async def test_very_many_with_one_name_hold_nobody_up() -> None:
    parts = tuple(InputFile(filename="a.txt", file_id=f"file-{n}") for n in range(20_000))
    message = InputMessage(role="user", content=parts)
    fetcher = Fetcher(anywhere)
    try:
        attachments = Attachments(Shelf(), fetcher, Documents(), Pictures())
        begun = time.process_time()
        made = await attachments.originals("p", [message], Capabilities())
    finally:
        await fetcher.close()

    assert len({each.name for each in made}) == 20_000
    assert time.process_time() - begun < 3


async def test_what_has_a_url_that_is_none_has_a_name_all_the_same() -> None:
    with pytest.raises(InvalidRequest):
        await found(Shelf(), InputImage(image_url="http://[::1"))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("../../etc/passwd", "_.._etc_passwd"),
        ("a\\b\x00c.txt", "a_b_c.txt"),
        ("..", "file"),
        ("  .hidden ", "hidden"),
        ("x" * 200 + ".txt", "x" * 124 + ".txt"),
    ],
)
async def test_a_name_leads_nowhere_else(given: str, name: str) -> None:
    assert [each for each, _ in await found(Shelf(), InputFile(filename=given, file_data="YQ=="))] == [name]


async def test_one_that_is_gone_is_refused_when_it_is_read() -> None:
    shelf = Shelf()
    file_id = shelf.put("a.txt", b"a")
    shelf.lost.add(file_id)

    with pytest.raises(InvalidRequest):
        await found(shelf, InputFile(file_id=file_id))
