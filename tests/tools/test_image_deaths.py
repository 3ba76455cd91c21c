"""A server that is killed while it has a picture made: the picture is not made twice."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from tests.api.asking import Json, whole
from tests.api.test_background import ended
from tests.conftest import checked_client
from tests.killed import Killed
from tests.scripted import Answer, Upstream
from tests.tools.images_server import ImagesServer
from tests.tools.painting import DRAW, TOOL
from tests.tools.using import read


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> Iterator[ImagesServer]:
    with ImagesServer() as server:
        monkeypatch.setenv("ANTIPHON_IMAGES_BASE_URL", server.base_url)
        monkeypatch.setenv("ANTIPHON_IMAGES_MODEL", "painter")
        monkeypatch.setenv("ANTIPHON_IMAGES_DIALECT", "openai")
        yield server


def knows(body: Any) -> bool:
    """Whether the model has read what became of its call."""
    return any(message["role"] == "tool" for message in body["messages"])


@pytest.fixture
def killed(upstream: Upstream, tmp_path: Path, images: ImagesServer) -> Iterator[Killed]:
    upstream.on(knows, Answer("There."))
    upstream.on(lambda body: not knows(body), DRAW)
    with Killed(tmp_path, upstream) as server:
        yield server


def begun(client: OpenAI) -> Any:
    return client.responses.create(
        model="m",
        input="Hi",
        tools=[TOOL],  # type: ignore[list-item]
        background=True,
        stream=True,
    )


def test_a_picture_that_was_begun_is_not_made_again(
    killed: Killed, upstream: Upstream, images: ImagesServer
) -> None:
    images.gate = threading.Event()
    response_id = ""
    with checked_client(killed.url) as client:
        with contextlib.suppress(Exception), begun(client) as events:
            for event in events:
                response_id = response_id or event.response.id
                if event.type == "response.image_generation_call.generating":
                    assert images.reached.wait(10)
                    killed.kill()
        killed.start()
        done: Json = whole(ended(client, response_id))

    call, message = done["output"]
    assert (call["type"], call["status"], call["result"]) == ("image_generation_call", "failed", None)
    assert (message["content"][0]["text"], done["status"]) == ("There.", "completed")
    assert len(images.requests) == 1
    assert "may have" in next(each["content"] for each in read(upstream) if each["role"] == "tool")


@pytest.mark.parametrize("place", [2, 3, 4, 5, 6, 7, 8])
def test_it_goes_on_wherever_it_is_killed(
    killed: Killed, upstream: Upstream, images: ImagesServer, place: int
) -> None:
    seen: list[Json] = []
    with checked_client(killed.url) as client:
        with contextlib.suppress(Exception), begun(client) as events:
            for event in events:
                seen.append(whole(event))
                if len(seen) > place:
                    killed.kill()
        killed.start()
        done: Json = whole(ended(client, seen[0]["response"]["id"]))

    assert done["status"] == "completed"
    finished = [item for item in done["output"] if item.get("status") == "completed"]
    assert finished[-1]["content"][0]["text"] == "There."
    assert len(images.requests) <= 2
    made = sum(item["type"] == "image_generation_call" for item in finished)
    total = done.get("tool_usage", {}).get("image_gen", {}).get("total_tokens", 0)
    assert total in (322 * made, 322 * len(images.requests)), "what was made is counted, once"
