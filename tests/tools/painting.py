"""What the tests of `image_generation` have in common."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Upstream
from tests.tools.images_server import ImagesServer, png
from tests.tools.using import calls, read

from antiphon.config import Config, Images, Outbound

TOOL: Json = {"type": "image_generation"}
DRAW = calls("image_generation", '{"prompt": "a cat"}', 4)
DRAWN = [
    "output_item.added",
    "image_generation_call.in_progress",
    "image_generation_call.generating",
    "image_generation_call.completed",
    "output_item.done",
]


def painting(upstream: Upstream, server: ImagesServer, home: Path, **members: Any) -> Config:
    """A configuration with this server of pictures."""
    images = Images(base_url=server.base_url, model="painter", **members)
    return replace(config_for(upstream, home), images=images, outbound=Outbound(allow_private=True))


def drawing(prompt: str, **members: Any) -> Answer:
    return calls("image_generation", json.dumps({"prompt": prompt, **members}))


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def given(upstream: Upstream, which: int = -1) -> Any:
    """What the model read of its last picture."""
    return [message["content"] for message in read(upstream, which) if message["role"] == "tool"][-1]


def pictures_in(upstream: Upstream, which: int = -1) -> list[str]:
    """The URLs of all pictures that the model read."""
    contents = [message["content"] for message in read(upstream, which)]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]


def size_of(data: str) -> str:
    """Width and height of a PNG in base64."""
    raw = base64.b64decode(data)
    return f"{int.from_bytes(raw[16:20])}x{int.from_bytes(raw[20:24])}"


ATTACHED = png(48, 32, 200)


def attached(text: str, *pictures: bytes) -> Json:
    """A message of the user's with pictures."""
    images = [{"type": "input_image", "image_url": data_url(data), "detail": "auto"} for data in pictures]
    return {"role": "user", "content": [{"type": "input_text", "text": text}, *images]}


@pytest.fixture(scope="module")
def _images() -> Iterator[ImagesServer]:
    with ImagesServer() as server:
        yield server


@pytest.fixture
def images(_images: ImagesServer) -> ImagesServer:
    """OpenAI's own, as far as it is known by `dialect`."""
    _images.reset()
    return _images


@pytest.fixture(scope="module")
def painter(
    _upstream: Upstream, _images: ImagesServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("images")
    with Running(painting(_upstream, _images, home, dialect="openai", models=["gpt-image-*"])) as running:
        yield running


@pytest.fixture
def client(painter: Running) -> Iterator[OpenAI]:
    with checked_client(painter.url) as client:
        yield client
