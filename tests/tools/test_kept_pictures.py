"""Pictures lie beside the rows that have them, whichever way they come and go."""

import base64
import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json, fault, whole
from tests.api.test_background import ended
from tests.conftest import Running, checked_client
from tests.killed import Killed
from tests.scripted import Answer, Upstream
from tests.tools.images_server import ImagesServer, png
from tests.tools.painting import DRAW, TOOL, _images, attached, drawing, images, painting, pictures_in
from tests.tools.using import ask, read, stream

from antiphon.config import Limits

__all__ = ["_images", "images"]

WEIGHT = 200_000
"""Bytes of a picture."""
SMALL = 20_000
PATIENCE = 60.0


@pytest.fixture
def heavy(images: ImagesServer) -> ImagesServer:
    images.weight = WEIGHT
    return images


@pytest.fixture
def painter(upstream: Upstream, heavy: ImagesServer, tmp_path: Path) -> Iterator[Running]:
    config = painting(upstream, heavy, tmp_path, dialect="openai")
    with Running(replace(config, limits=Limits(stored_bytes=5 * WEIGHT))) as running:
        yield running


@pytest.fixture
def client(painter: Running) -> Iterator[OpenAI]:
    with checked_client(painter.url) as client:
        yield client


@pytest.fixture
def disk(painter: Running, tmp_path: Path) -> "Disk":
    return Disk(tmp_path)


class Disk:
    """What a server keeps."""

    def __init__(self, home: Path) -> None:
        (self._database,) = home.rglob("antiphon.db")
        self._files = self._database.parent / "files"

    @property
    def rows(self) -> int:
        """Bytes of the largest of items and events."""
        with contextlib.closing(sqlite3.connect(self._database)) as db:
            sql = "SELECT max(length(json)) FROM (SELECT json FROM items UNION ALL SELECT json FROM events)"
            return int(db.execute(sql).fetchone()[0])

    @property
    def blobs(self) -> list[bytes]:
        return [path.read_bytes() for path in self._files.glob("*/*")]

    def is_cleared(self) -> bool:
        """Whether there is no blob within a moment."""
        until = time.monotonic() + PATIENCE
        while any(self._files.glob("*/*")) and time.monotonic() < until:
            pass
        return not any(self._files.glob("*/*"))


def made(answer: Json) -> str:
    """The picture of a response, in base64."""
    (result,) = [item["result"] for item in answer["output"] if item["type"] == "image_generation_call"]
    assert len(result) > WEIGHT
    return str(result)


def test_a_picture_is_shown_wherever_it_is_and_lies_there_once(
    client: OpenAI, upstream: Upstream, disk: Disk
) -> None:
    upstream.script(DRAW, Answer("ok"), Answer("I see."), Answer("ok"))
    first = ask(client, TOOL)
    picture = made(first)

    second = ask(client, given="Well?", previous_response_id=first["id"])
    assert pictures_in(upstream)[-1] == f"data:image/png;base64,{picture}", "the model sees it"
    assert made(whole(client.responses.retrieve(first["id"]))) == picture
    inherited = whole(client.responses.input_items.list(second["id"], order="asc"))["data"]
    assert inherited[1]["result"] == picture

    replayed = {"role": "user", "content": "And?"}
    third = ask(client, given=[first["output"][0], replayed])
    assert whole(client.responses.input_items.list(third["id"], order="asc"))["data"][0]["result"] == picture
    conversation = client.conversations.create(items=[first["output"][0]])
    assert client.conversations.items.list(conversation.id).data[0].result == picture  # type: ignore[union-attr]
    assert disk.rows < SMALL
    assert disk.blobs == [base64.b64decode(picture)]


def test_it_can_be_named_and_changed(client: OpenAI, upstream: Upstream, heavy: ImagesServer) -> None:
    upstream.script(DRAW, Answer("ok"), drawing("a red cat", edit=True), Answer("Red."))
    first = ask(client, TOOL)

    named = {"type": "image_generation_call", "id": first["output"][0]["id"]}
    ask(client, TOOL, given=[{"role": "user", "content": "Make it red"}, named])

    assert heavy.last.files == [("image", base64.b64decode(made(first)))]


def test_pictures_that_users_attach_lie_there_too(client: OpenAI, upstream: Upstream, disk: Disk) -> None:
    upstream.script(Answer("A cat."), Answer("As I said."))
    sent = attached("What is it?", png(weight=WEIGHT))
    answer = ask(client, given=[sent])
    shows = client.responses.input_items.list(answer["id"], include=["message.input_image.image_url"])
    (kept,) = whole(shows)["data"]
    assert kept["content"] == sent["content"]
    ask(client, given="Sure?", previous_response_id=answer["id"])
    assert pictures_in(upstream) == [sent["content"][1]["image_url"]]
    assert (disk.rows < SMALL, disk.blobs) == (True, [png(weight=WEIGHT)])


def test_the_log_of_a_background_run_is_streamed_again_with_its_pictures(
    client: OpenAI, upstream: Upstream, disk: Disk
) -> None:
    upstream.script(DRAW, Answer("ok"))
    events = stream(client, TOOL | {"partial_images": 2}, background=True)
    response_id = events[0]["response"]["id"]
    partial = [event["partial_image_b64"] for event in events if "partial_image_b64" in event]
    assert [len(data) > WEIGHT for data in partial] == [True, True]

    again = client.responses.retrieve(response_id, stream=True, include_obfuscation=False)
    assert [whole(event) for event in again] == events
    assert made(whole(client.responses.retrieve(response_id))) == made(events[-1]["response"])
    assert disk.rows < SMALL
    assert len(disk.blobs) == len({*partial, made(events[-1]["response"])})

    client.responses.delete(response_id)
    assert disk.is_cleared()


def test_a_picture_goes_with_the_last_response_that_has_it(
    client: OpenAI, upstream: Upstream, disk: Disk
) -> None:
    upstream.script(DRAW, Answer("ok"), Answer("I see."))
    first = ask(client, TOOL)
    second = ask(client, given=[first["output"][0]])

    client.responses.delete(first["id"])
    assert whole(client.responses.input_items.list(second["id"]))["data"][0]["result"] == made(first)
    client.responses.delete(second["id"])
    assert disk.is_cleared()


def test_a_picture_that_is_not_stored_is_nowhere(client: OpenAI, upstream: Upstream, disk: Disk) -> None:
    upstream.script(DRAW, Answer("ok"))
    made(ask(client, TOOL, store=False))
    assert disk.blobs == []


def test_pictures_count_for_what_may_be_stored(client: OpenAI, upstream: Upstream, painter: Running) -> None:
    kept: list[Any] = []
    with httpx2.Client(base_url=painter.url) as http:
        for _ in range(5):
            upstream.script(DRAW, Answer("ok"))
            kept.append(ask(client, TOOL))
        refused = http.post("/v1/responses", json={"model": "m", "input": "Hi"})
        assert fault(refused)[2] == "storage_quota_exceeded"
        client.responses.delete(kept[0]["id"])
        upstream.script(Answer("ok"))
        assert http.post("/v1/responses", json={"model": "m", "input": "Hi"}).status_code == 200


# ---- crashes ----------------------------------------------------------------------------------------------


def knows(body: Any) -> bool:
    """Whether the model has read what became of its call."""
    return any(message["role"] == "tool" for message in body["messages"])


@pytest.mark.parametrize(
    "kind", ["image_generation_call.partial_image", "output_item.done", "output_text.delta"]
)
def test_a_run_goes_on_with_the_pictures_of_its_log(
    upstream: Upstream, heavy: ImagesServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    for name, value in {"BASE_URL": heavy.base_url, "MODEL": "painter", "DIALECT": "openai"}.items():
        monkeypatch.setenv(f"ANTIPHON_IMAGES_{name}", value)
    upstream.on(knows, Answer("There."))
    upstream.on(lambda body: not knows(body), DRAW)
    seen: list[Json] = []
    with Killed(tmp_path, upstream) as server, checked_client(server.url) as client:
        with contextlib.suppress(Exception):
            for event in client.responses.create(  # type: ignore[call-overload]
                model="m",
                input=[attached("Like this", png(weight=WEIGHT))],
                tools=[TOOL | {"partial_images": 1}],
                background=True,
                stream=True,
            ):
                seen.append(whole(event))
                if event.type == f"response.{kind}":
                    server.kill()
        server.start()
        done = whole(ended(client, seen[0]["response"]["id"]))
        again = client.responses.retrieve(done["id"], stream=True)
        assert [whole(event) for event in again][: len(seen)] == seen

        assert done["output"][-1]["content"][0]["text"] == "There."
        if kind != "image_generation_call.partial_image":
            told = next(event["item"] for event in seen if event["type"] == "response.output_item.done")
            assert made(done) == told["result"]
            assert pictures_in(upstream)[-1] == f"data:image/png;base64,{made(done)}"
        assert Disk(tmp_path).rows < SMALL
        assert [part["type"] for part in read(upstream)[0]["content"]] == ["text", "image_url"]
