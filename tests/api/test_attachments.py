"""What the model gets of images and files, through the official client."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json, refused, whole
from tests.conftest import Running, checked_client, config_for
from tests.ledger import case, covers
from tests.papers import docx, pdf, png
from tests.scripted import Answer, Called, Upstream
from tests.website import Page, Website

from antiphon.config import Outbound
from antiphon.context import loading

PHOTO = png()
URL = f"data:image/png;base64,{base64.b64encode(PHOTO).decode()}"
SEEN = {"type": "image_url", "image_url": {"url": URL}}


@pytest.fixture
def site() -> Iterator[Website]:
    with Website() as site:
        yield site


@pytest.fixture
def trusting(upstream: Upstream, tmp_path: Path) -> Iterator[OpenAI]:
    """A client of a server that fetches from its own network too."""
    config = replace(config_for(upstream, tmp_path), outbound=Outbound(allow_private=True))
    with Running(config) as running, checked_client(running.url) as client:
        yield client


def ask(client: OpenAI, *parts: Json, **members: Any) -> Any:
    return client.responses.create(
        model="m",
        input=[{"role": "user", "content": list(parts)}],
        **members,  # type: ignore[list-item]
    )


def told(upstream: Upstream) -> Any:
    """What the last message said."""
    return upstream.last.body["messages"][-1]["content"]


def image(**members: Any) -> Json:
    return {"type": "input_image", **members}


def file(**members: Any) -> Json:
    return {"type": "input_file", **members}


# ---- images -----------------------------------------------------------------------------------------


@covers("part.input_image.file_id")
def test_an_uploaded_image_reaches_the_model(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("A square"))
    photo = client.files.create(file=("a.png", PHOTO), purpose="vision")

    ask(client, {"type": "input_text", "text": "What is it?"}, image(file_id=photo.id, detail="high"))

    assert told(upstream) == [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": URL, "detail": "high"}},
    ]


@covers("part.input_image")
def test_an_image_by_url_is_fetched_by_us_and_not_by_the_models_server(
    trusting: OpenAI, upstream: Upstream, site: Website
) -> None:
    upstream.script(Answer("A square"))
    site.pages["/a.png"] = Page(PHOTO, "image/png")

    ask(trusting, image(image_url=f"{site.url}/a.png"))

    assert told(upstream) == [SEEN]


@covers("include.message.input_image.image_url")
def test_what_is_stored_is_what_was_sent(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("A square"))
    photo = client.files.create(file=("a.png", PHOTO), purpose="vision")
    answer = ask(client, image(file_id=photo.id), image(image_url=URL))

    [message] = client.responses.input_items.list(answer.id, include=["message.input_image.image_url"]).data
    assert [part | {"type": ""} for part in whole(message)["content"]] == [
        {"type": "", "detail": "auto", "file_id": photo.id},
        {"type": "", "detail": "auto", "image_url": URL},
    ]


def test_an_image_is_shown_again_in_the_next_turn(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("A square"), Answer("Black"))
    photo = client.files.create(file=("a.png", PHOTO), purpose="vision")
    first = ask(client, image(file_id=photo.id))

    client.responses.create(model="m", input="Its color?", previous_response_id=first.id)

    assert upstream.last.body["messages"][0]["content"] == [SEEN]


@covers("failure.image_file_not_found")
def test_an_image_that_was_deleted_ends_the_conversation_about_it(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("A square"))
    photo = client.files.create(file=("a.png", PHOTO), purpose="vision")
    first = ask(client, image(file_id=photo.id))
    client.files.delete(photo.id)

    with refused(400, "image_file_not_found", "input"):
        client.responses.create(model="m", input="Its color?", previous_response_id=first.id)
    with refused(400, "image_file_not_found", "input[0].content[0].file_id"):
        ask(client, image(file_id=photo.id))


@pytest.mark.parametrize(
    ("url", "code"),
    [
        case("failure.invalid_base64_image", "data:image/png;base64,!", "invalid_base64_image"),
        case(
            "failure.unsupported_image_media_type",
            "data:text/plain;base64,AA==",
            "unsupported_image_media_type",
        ),
        case("failure.invalid_image_format", "data:image/png;base64,AAAA", "invalid_image_format"),
        case("failure.empty_image_file", "data:image/png;base64,", "empty_image_file"),
        case("failure.invalid_image_url", "ftp://example.org/a.png", "invalid_image_url"),
        case("failure.invalid_image_url", "http://127.0.0.1:1/a.png", "invalid_image_url"),
        case("failure.invalid_image_url", "http://169.254.169.254/latest/meta-data/", "invalid_image_url"),
    ],
)
def test_an_image_that_cannot_be_used_is_refused_before_anything_is_asked(
    client: OpenAI, upstream: Upstream, url: str, code: str
) -> None:
    with refused(400, code, "input[0].content[0].image_url"):
        ask(client, image(image_url=url))

    assert upstream.requests == []


@covers("failure.image_too_large", "failure.image_file_too_large")
def test_an_image_that_is_too_large_is_refused(
    client: OpenAI, trusting: OpenAI, upstream: Upstream, site: Website, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "MAX_ATTACHMENT", len(PHOTO) - 1)
    photo = client.files.create(file=("a.png", PHOTO), purpose="vision")

    with refused(400, "image_too_large", "input[0].content[0].image_url"):
        ask(client, image(image_url=URL))
    with refused(400, "image_file_too_large", "input[0].content[0].file_id"):
        ask(client, image(file_id=photo.id))
    site.pages["/a.png"] = Page(PHOTO, "image/png")
    with refused(400, "image_too_large", "input[0].content[0].image_url"):
        ask(trusting, image(image_url=f"{site.url}/a.png"))

    assert upstream.requests == []


@covers("failure.failed_to_download_image")
def test_an_image_that_cannot_be_fetched_is_refused(
    trusting: OpenAI, upstream: Upstream, site: Website
) -> None:
    with refused(400, "failed_to_download_image", "input[0].content[0].image_url"):
        ask(trusting, image(image_url=f"{site.url}/absent"))

    assert upstream.requests == []


# ---- files ------------------------------------------------------------------------------------------


@covers("part.input_file")
def test_a_file_reaches_the_model_as_text(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(*[Answer("Read")] * 3)
    paper = docx("The answer is 42.")
    stored = client.files.create(file=("a.docx", paper), purpose="user_data")

    for part in (
        file(file_id=stored.id),
        file(file_data=base64.b64encode(paper).decode(), filename="a.docx"),
    ):
        ask(client, {"type": "input_text", "text": "Read this."}, part)

        assert told(upstream) == 'Read this.\n<file name="a.docx">\nThe answer is 42.\n</file>\n'


@covers("part.input_file")
def test_a_file_by_url_reaches_the_model(trusting: OpenAI, upstream: Upstream, site: Website) -> None:
    upstream.script(Answer("Read"))
    site.pages["/a.txt"] = Page(b"Hello", "text/plain")

    ask(trusting, file(file_url=f"{site.url}/a.txt"))

    assert told(upstream) == '\n<file name="a.txt">\nHello\n</file>\n'


def test_a_page_without_text_reaches_the_model_as_a_picture(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("A square"))
    scan = base64.b64encode(pdf("")).decode()

    ask(client, file(file_data=f"data:application/pdf;base64,{scan}", filename="scan.pdf"))

    kinds = [part["type"] for part in told(upstream)]
    assert kinds == ["text", "text", "image_url"]
    assert told(upstream)[2]["image_url"]["url"].startswith("data:image/png;base64,iVBOR")


def test_the_output_of_a_tool_may_have_images_and_files(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer(calls=[Called("look")]), Answer("A square"))
    photo = client.files.create(file=("a.png", PHOTO), purpose="vision")
    note = client.files.create(file=("a.txt", b"Hello"), purpose="user_data")
    look: Any = {"type": "function", "name": "look", "parameters": None, "strict": False}
    first = client.responses.create(model="m", input="Look", tools=[look])

    client.responses.create(
        model="m",
        previous_response_id=first.id,
        input=[
            {
                "type": "function_call_output",
                "call_id": first.output[0].call_id,  # type: ignore[union-attr]
                "output": [
                    {"type": "input_image", "file_id": photo.id},
                    {"type": "input_file", "file_id": note.id},
                ],
            }
        ],
    )

    said = upstream.last.body["messages"]
    assert said[-2]["content"] == '\n<file name="a.txt">\nHello\n</file>\n'
    assert SEEN in said[-1]["content"]


def test_a_file_that_cannot_be_read_is_refused_before_anything_is_asked(
    client: OpenAI, upstream: Upstream
) -> None:
    with refused(400, "unsupported_file", "input[0].content[0].file_data") as refusal:
        ask(client, file(file_data="AAECAwA=", filename="a.bin"))

    assert "a.bin" in refusal.message
    assert upstream.requests == []


def test_the_files_of_a_conversation_are_read_when_it_goes_on(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("Hello"))
    note = client.files.create(file=("a.txt", b"Hello"), purpose="user_data")
    part: Any = file(file_id=note.id)
    conversation = client.conversations.create(items=[{"role": "user", "content": [part]}])

    client.responses.create(model="m", input="What does it say?", conversation=conversation.id)

    assert upstream.last.body["messages"][0]["content"] == '\n<file name="a.txt">\nHello\n</file>\n'
