"""/v1/images/generations and /v1/images/edits, for programs that look for them on the same base URL."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aiohttp import web
from msgspec.structs import replace
from openai import APIStatusError, OpenAI
from tests.api.asking import Json, refused, whole
from tests.conftest import Running, checked_client
from tests.scripted import Upstream
from tests.tools.images_server import ImagesServer, png
from tests.tools.painting import painting, size_of

from antiphon.config import KeySettings, Limits, Server, hash_key

KEY = "sk-of-the-image-server"


@pytest.fixture(scope="module")
def _server() -> Iterator[ImagesServer]:
    with ImagesServer("openai") as server:
        yield server


@pytest.fixture
def images(_server: ImagesServer) -> ImagesServer:
    _server.reset()
    return _server


@pytest.fixture(scope="module")
def passing(
    _upstream: Upstream, _server: ImagesServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IMAGE_KEY", KEY)
        home = tmp_path_factory.mktemp("passing")
        members: Any = {"dialect": "openai", "api_key_env": "IMAGE_KEY", "models": ["gpt-image-*"]}
        with Running(painting(_upstream, _server, home, **members)) as running:
            yield running


@pytest.fixture
def client(passing: Running) -> Iterator[OpenAI]:
    with checked_client(passing.url) as client:
        yield client


def test_a_picture_is_made(client: OpenAI, images: ImagesServer) -> None:
    answer = client.images.generate(model="painter", prompt="a cat", size="256x256", quality="low")

    assert answer.data is not None
    assert size_of(answer.data[0].b64_json or "") == "256x256"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 322
    assert images.last.fields == {"model": "painter", "prompt": "a cat", "size": "256x256", "quality": "low"}
    assert images.last.headers["Authorization"] == f"Bearer {KEY}"


def test_partial_pictures_are_streamed_as_they_are(client: OpenAI, images: ImagesServer) -> None:
    stream = client.images.generate(prompt="a cat", model="gpt-image-2", stream=True, partial_images=2)

    assert [event.type for event in stream] == [
        *["image_generation.partial_image"] * 2,
        "image_generation.completed",
    ]


@pytest.mark.parametrize("model", [None, "painter", "gpt-image-2"])
def test_a_picture_is_changed(client: OpenAI, images: ImagesServer, model: str | None) -> None:
    members: Any = {"model": model} if model else {}
    one, two, mask = png(16, 16, 1), png(16, 16, 2), png(16, 16, 3)

    answer = client.images.edit(image=[one, two], mask=mask, prompt="join them", **members)

    assert answer.data is not None
    assert images.last.fields == {"model": model or "painter", "prompt": "join them"}
    assert images.last.files == [("image[]", one), ("image[]", two), ("mask", mask)]


def test_a_request_without_a_model_has_the_configured_one(passing: Running, images: ImagesServer) -> None:
    httpx2.post(f"{passing.url}/v1/images/generations", json={"prompt": "a cat"}).raise_for_status()

    assert images.last.fields == {"prompt": "a cat", "model": "painter"}


def test_a_model_that_the_installation_does_not_name_is_not_found(
    client: OpenAI, images: ImagesServer
) -> None:
    with refused(404, "model_not_found", "model"):
        client.images.generate(prompt="a cat", model="flux")
    with refused(404, "model_not_found", "model"):
        client.images.edit(prompt="a cat", model="flux", image=png())
    assert images.requests == []


def test_a_refusal_comes_as_it_is_and_without_keys(client: OpenAI, images: ImagesServer) -> None:
    fault = {
        "message": f"Blocked ({KEY}).",
        "type": "image_generation_user_error",
        "code": "moderation_blocked",
    }
    images.answer = lambda _: web.json_response({"error": fault | {"param": None}}, status=400)

    with pytest.raises(APIStatusError) as caught:
        client.images.generate(prompt="a cat", model="painter")

    assert caught.value.status_code == 400
    assert caught.value.body == fault | {"message": "Blocked (***).", "param": None}


@pytest.mark.parametrize(
    ("status", "body"), [(401, {"error": {"message": "Incorrect key"}}), (500, {"detail": "CUDA"})]
)
def test_a_fault_of_the_installation_is_one_of_the_upstream(
    client: OpenAI, images: ImagesServer, status: int, body: Json
) -> None:
    images.answer = lambda _: web.json_response(body, status=status)

    with pytest.raises(APIStatusError) as caught:
        client.images.generate(prompt="a cat", model="painter")

    assert caught.value.status_code == 502


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"[1]", "application/json", 400),
        (b"{", "application/json", 400),
        (b'{"model": 3}', "application/json", 400),
        (b"--x\r\n", "multipart/form-data", 400),
        (b"nothing", "multipart/form-data; boundary=x", 400),
        (b"prompt=a", "application/x-www-form-urlencoded", 400),
        (b"prompt", "text/plain", 400),
    ],
)
@pytest.mark.parametrize("path", ["generations", "edits"])
def test_what_is_no_request_is_refused(
    passing: Running, images: ImagesServer, path: str, body: bytes, kind: str, status: int
) -> None:
    answer = httpx2.post(f"{passing.url}/v1/images/{path}", content=body, headers={"content-type": kind})

    assert answer.status_code == status
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert images.requests == []


def test_bodies_have_their_bound(upstream: Upstream, images: ImagesServer, tmp_path: Path) -> None:
    config = replace(painting(upstream, images, tmp_path), server=Server(max_body_bytes=4096))
    with Running(config) as running:
        answer = httpx2.post(f"{running.url}/v1/images/edits", files={"image": b"x" * 5000})

    assert answer.status_code == 413
    assert images.requests == []


def test_who_has_no_key_is_kept_out(upstream: Upstream, images: ImagesServer, tmp_path: Path) -> None:
    keyed = Server(keys={"a": hash_key("sk-a")})
    with Running(replace(painting(upstream, images, tmp_path), server=keyed)) as running:
        answer = httpx2.post(f"{running.url}/v1/images/generations", json={"prompt": "a cat"})

    assert answer.status_code == 401
    assert images.requests == []


def test_an_answer_that_never_ends_is_cut_off(
    upstream: Upstream, images: ImagesServer, tmp_path: Path
) -> None:
    images.answer = lambda _: web.Response(body=b" " * 200_000, content_type="application/json")
    config = replace(painting(upstream, images, tmp_path), limits=Limits(answer_bytes=65536))
    body = {"prompt": "a cat"}
    with Running(config) as running, pytest.raises(httpx2.HTTPError):
        httpx2.post(f"{running.url}/v1/images/generations", json=body)


@pytest.mark.parametrize("path", ["generations", "edits"])
def test_without_an_image_server_it_says_what_to_set_up(http: httpx2.Client, path: str) -> None:
    answer = http.post(f"/v1/images/{path}", json={"prompt": "a cat"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")
    assert "[images]" in answer.json()["error"]["message"]


def test_a_chat_model_has_no_such_endpoint(upstream: Upstream, images: ImagesServer, tmp_path: Path) -> None:
    with Running(painting(upstream, images, tmp_path, dialect="chat")) as running:
        answer = httpx2.post(f"{running.url}/v1/images/generations", json={"prompt": "a cat"})

    assert answer.status_code == 404
    assert "dialect of [images]" in answer.json()["error"]["message"]


def test_a_server_without_the_path_is_named(client: OpenAI, images: ImagesServer) -> None:
    images.answer = lambda _: web.Response(text="404 page not found", status=404)

    with pytest.raises(APIStatusError) as caught:
        client.images.generate(prompt="a cat", model="painter")

    assert caught.value.status_code == 404
    assert "[images] names another server" in json.dumps(caught.value.body)


def test_what_the_sdk_reads_is_what_came(client: OpenAI, images: ImagesServer) -> None:
    answer = whole(client.images.generate(prompt="a cat", model="painter", n=2))

    assert len(answer["data"]) == 2
    assert answer["quality"] == "low"


@pytest.mark.parametrize("model", [{}, {"model": "gpt-image-9"}], ids=["its default", "another"])
def test_a_key_that_may_not_use_the_model_makes_no_picture(
    upstream: Upstream, images: ImagesServer, tmp_path: Path, model: Json
) -> None:
    config = painting(upstream, images, tmp_path, dialect="openai", models=["gpt-image-*"])
    server = Server(keys={"one": hash_key("sk-one")})
    config = replace(config, server=server, keys={"one": KeySettings(models=["small-*"])})
    with Running(config) as running, checked_client(running.url, "sk-one") as client:
        with refused(403, "model_not_found", "model"):
            client.images.generate(prompt="a cat", **model)
        with refused(403, "model_not_found", "model"):
            client.images.edit(image=("a.png", png(8, 8), "image/png"), prompt="a dog", **model)
    assert images.requests == []
