"""What models see of images, and which never reach a model's server, through the official client."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json, refused, whole
from tests.conftest import Running, checked_client, config_for
from tests.drawn import bomb, drawn, opened, size_of
from tests.ledger import covers
from tests.papers import picture_url
from tests.scripted import Answer, Upstream

from antiphon.config import Config
from antiphon.config.model_settings import ModelSettings
from antiphon.context.images import DataUrl

PLACE = "input[0].content[0].image_url"


def ask(client: OpenAI, url: str, compression: str | None = None, **members: Any) -> Any:
    part = {"type": "input_image", "image_url": url, **members}
    body = {"image": {"context_compression": compression}} if compression else {}
    return client.responses.create(
        model="m",
        input=[{"role": "user", "content": [part]}],  # type: ignore[list-item,misc]
        extra_body=body,
    )


def seen(upstream: Upstream) -> list[bytes]:
    """The pictures of the last request."""
    parts = [
        part
        for message in upstream.last.body["messages"]
        if isinstance(message["content"], list)
        for part in message["content"]
    ]
    return [DataUrl(part["image_url"]["url"]).data for part in parts if part["type"] == "image_url"]


@pytest.mark.parametrize(
    ("detail", "size"),
    [("low", (512, 384)), ("high", (1847, 1385)), ("auto", (1847, 1385)), ("original", (2400, 1800))],
)
@covers("param.image", "param.image.context_compression", "param.image.context_compression.enabled")
def test_images_are_made_as_small_as_their_detail_allows(
    client: OpenAI, upstream: Upstream, detail: str, size: tuple[int, int]
) -> None:
    upstream.script(Answer("A gradient"))

    told = ask(client, picture_url(drawn(2400, 1800)), "enabled", detail=detail)

    assert [size_of(each) for each in seen(upstream)] == [size]
    assert whole(told)["image"] == {"context_compression": "enabled"}


@pytest.mark.parametrize("compression", [None, "auto", "disabled"])
@covers("param.image.context_compression")
def test_without_compression_an_image_reaches_the_model_as_it_is(
    client: OpenAI, upstream: Upstream, compression: str | None
) -> None:
    upstream.script(Answer("A gradient"))
    photo = drawn(2400, 1800)

    told = ask(client, picture_url(photo), compression, detail="low")

    assert seen(upstream) == [photo]
    shown = {"context_compression": "disabled"} if compression else None
    assert whole(told).get("image") == shown


def test_images_of_the_past_and_of_files_are_made_smaller_too(client: OpenAI, upstream: Upstream) -> None:
    upstream.default = Answer("ok")
    first = ask(client, picture_url(drawn(3000, 40)))
    photo = client.files.create(file=("a.jpg", drawn(600, 600, "JPEG")), purpose="user_data")
    content = [{"type": "input_file", "file_id": photo.id, "detail": "low"}]

    client.responses.create(
        model="m",
        previous_response_id=first.id,
        input=[{"role": "user", "content": content}],  # type: ignore[list-item,misc]
        extra_body={"image": {"context_compression": "enabled"}},
    )

    old, new = map(opened, seen(upstream))
    assert (old.size, new.size) == ((2048, 27), (512, 512))
    assert (old.format, new.format) == ("PNG", "JPEG")


DAMAGED = drawn(200, 150)[:-60]
JPEG_HEAD = "data:image/jpeg;base64,/9j/4AAQSkZJRgABAQ=="


@pytest.mark.parametrize(
    ("url", "code"),
    [
        pytest.param(JPEG_HEAD, "invalid_image", id="a head alone"),
        pytest.param(picture_url(DAMAGED), "image_parse_error", id="cut off"),
        pytest.param(picture_url(bomb(10_000)), "image_too_large", id="100 megapixels"),
    ],
)
@covers("failure.invalid_image", "failure.image_parse_error", "failure.image_too_large")
def test_an_image_that_no_model_could_read_never_reaches_one(
    client: OpenAI, upstream: Upstream, url: str, code: str
) -> None:
    with refused(400, code, PLACE):
        ask(client, url)

    assert upstream.requests == []


def test_all_images_of_a_request_have_a_bound_together(
    client: OpenAI, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("antiphon.context.sight.MOST_PIXELS", 100_000)
    upstream.default = Answer("A gradient")
    one, other = ({"type": "input_image", "image_url": picture_url(drawn(300, 200 + n))} for n in (0, 1))

    def look(*parts: Json) -> Any:
        given: Any = [{"role": "user", "content": parts}]
        return client.responses.create(model="m", input=given)

    with refused(400, "request_too_large", "input"):
        look(one, other)
    assert upstream.requests == []
    assert look(one).status == look(other).status == look(one, one).status == "completed"


@covers("failure.invalid_image")
def test_a_sound_image_is_not_at_fault_for_a_machine_that_is_busy(
    client: OpenAI, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = picture_url(drawn(310, 210))
    with monkeypatch.context() as patch, refused(503, None, PLACE, "server_error"):
        patch.setattr("antiphon.guard.pool._WAITS", 0)
        ask(client, url, "enabled")
    assert upstream.requests == []

    upstream.script(Answer("A gradient"))
    assert ask(client, url, "enabled").status == "completed"


@pytest.fixture
def needy(upstream: Upstream, tmp_path: Path) -> Iterator[Running]:
    """A server whose model needs images of 28 pixels."""
    with Running(needing(config_for(upstream, tmp_path), smallest_image=28)) as running:
        yield running


def needing(config: Config, **settings: Any) -> Config:
    return replace(config, models={"m": ModelSettings(**settings)})


@covers("failure.image_too_small")
def test_an_image_that_is_too_small_for_the_model_never_reaches_it(
    needy: Running, upstream: Upstream
) -> None:
    upstream.script(Answer("ok"))
    with checked_client(needy.url) as client:
        with refused(400, "image_too_small", PLACE) as refusal:
            ask(client, picture_url(drawn(27, 300)))
        assert "27 x 300" in refusal.message
        assert "28" in refusal.message
        ask(client, picture_url(drawn(28, 300)))

    assert len(upstream.requests) == 1


@covers("failure.invalid_image")
def test_a_screenshot_and_a_functions_picture_are_looked_at_too(client: OpenAI, upstream: Upstream) -> None:
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    picture = {"type": "input_image", "image_url": JPEG_HEAD}
    output = {"type": "function_call_output", "call_id": "c", "output": [picture]}
    given: list[Json] = [{"role": "user", "content": "Hi"}, call, output]

    with refused(400, "invalid_image", "input[2].output[0].image_url"):
        client.responses.create(model="m", input=given)  # type: ignore[arg-type]

    assert upstream.requests == []
