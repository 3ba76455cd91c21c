"""Servers of pictures of every kind: what each is sent, what the client reads of the rest, and what comes
back."""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aiohttp import web
from msgspec.structs import replace
from tests.api.asking import Json
from tests.conftest import Running
from tests.drawn import drawn
from tests.ledger import covers
from tests.papers import picture_url
from tests.scripted import Answer, Upstream
from tests.tools.images_server import ImagesServer, png
from tests.tools.painting import ATTACHED, DRAW, TOOL, attached, drawing, painting, pictures_in, size_of

from antiphon.config import Outbound

ALL: Json = {
    "n": 2,
    "size": "64x48",
    "quality": "high",
    "background": "opaque",
    "output_format": "jpeg",
    "output_compression": 50,
    "moderation": "low",
    "partial_images": 1,
    "input_fidelity": "high",
    "complexity": "low",
}
MAKES = {
    "openai": {*ALL} - {"input_fidelity"},
    "vllm_omni": {"n", "size"},
    "sglang": {"n", "size", "quality", "background", "output_format", "output_compression"},
    "sd_cpp": {"n", "size", "output_format", "output_compression"},
    "localai": {"n", "size", "quality"},
    "plain": {"n", "size"},
}
EDITS = {
    "openai": {*ALL} - {"moderation"},
    "vllm_omni": {"n", "size", "background", "output_format", "output_compression"},
    "sglang": {"n", "size", "background", "output_format", "output_compression"},
    "sd_cpp": {"n", "size", "output_format", "output_compression"},
    "localai": {"n", "size"},
    "plain": {"n", "size"},
}
NAMED = {"openai": {"dialect": "openai"}, "localai": {"dialect": "localai"}}
"""What must be said of those that do not say it themselves."""


@pytest.fixture(params=MAKES)
def server(request: pytest.FixtureRequest) -> Iterator[ImagesServer]:
    with ImagesServer(request.param) as server:
        yield server


@pytest.fixture
def painter(upstream: Upstream, server: ImagesServer, tmp_path: Path) -> Iterator[Running]:
    with Running(painting(upstream, server, tmp_path, **NAMED.get(server.kind, {}))) as running:
        yield running


def post(running: Running, tool: Json, given: Any = "Hi", **members: Any) -> httpx2.Response:
    body = {"model": "m", "input": given, "tools": [TOOL | tool], **members}
    return httpx2.post(f"{running.url}/v1/responses", json=body, timeout=20)


def unheeded(answer: httpx2.Response) -> set[str]:
    """The parameters that the client reads of."""
    header = answer.headers.get("x-antiphon-warnings", "")
    found = re.findall(r'image_generation\.(\w+);why="not known to the server of that tool"', header)
    return set(found)


def sent(server: ImagesServer) -> set[str]:
    return set(server.last.fields) - {"model", "prompt", "response_format", "stream"}


@pytest.mark.parametrize("edit", [False, True])
def test_it_is_sent_what_it_takes_and_the_client_reads_of_the_rest(
    painter: Running, upstream: Upstream, server: ImagesServer, edit: bool
) -> None:
    upstream.script(drawing("a cat", edit=True), Answer("ok"))
    wanted = (EDITS if edit else MAKES)[server.kind]
    tool = ALL | {"action": "edit" if edit else "generate"}

    answer = post(painter, tool, [attached("a cat", ATTACHED)] if edit else "a cat")

    assert sent(server) == wanted
    assert unheeded(answer) == {*ALL} - wanted
    calls = answer.json()["output"][:-1]
    assert [call["status"] for call in calls] == ["completed"] * (1 if server.kind == "openai" else 2)
    assert {size_of(call["result"]) for call in calls} == {"64x48"}
    assert {call["output_format"] for call in calls} == {"png"}, "what came, not what was asked for"
    if edit:
        assert server.last.files[0][1] == ATTACHED


def test_base64_is_asked_for_where_that_may_be(
    painter: Running, upstream: Upstream, server: ImagesServer
) -> None:
    upstream.script(DRAW, Answer("ok"), DRAW, Answer("ok"))

    for _ in range(2):
        assert post(painter, {}).json()["output"][0]["status"] == "completed"

    asked = ["response_format" in request.fields for request in server.requests]
    takes = server.kind in ("vllm_omni", "sglang", "localai")
    # One that is not known is asked once, and what it refuses is not sent again.
    assert asked == ([True, False, False] if server.kind == "plain" else [takes, takes])


def test_its_refusals_are_read(painter: Running, upstream: Upstream, server: ImagesServer) -> None:
    server.answer = lambda _: server.refused("CUDA out of memory", status=400)
    upstream.script(DRAW, Answer("No."))

    call = post(painter, {}).json()["output"][0]

    assert (call["status"], call["error"]["message"]) == ("failed", "CUDA out of memory")
    assert len(server.requests) == 1


def test_a_mask_goes_where_it_means_the_same(
    painter: Running, upstream: Upstream, server: ImagesServer
) -> None:
    upstream.script(drawing("a hat", edit=True), Answer("ok"))
    mask = picture_url(drawn(16, 16, mode="RGBA"))

    answer = post(painter, {"input_image_mask": {"image_url": mask}}, [attached("Hat", ATTACHED)])

    taken = "mask" in [name for name, _ in server.last.files]
    assert taken is (server.kind != "vllm_omni")
    assert unheeded(answer) == (set() if taken else {"input_image_mask"})


# ---- servers that are not there, or say little ------------------------------------------------------------


@pytest.mark.parametrize("server", ["plain"], indirect=True)
@covers("tool.image_generation.model")
@pytest.mark.parametrize(("model", "used"), [("painter", True), ("gpt-image-2", False)])
def test_a_model_that_the_installation_does_not_name_is_not_asked_for(
    painter: Running, upstream: Upstream, server: ImagesServer, model: str, used: bool
) -> None:
    upstream.script(DRAW, Answer("ok"))

    answer = post(painter, {"model": model})

    assert server.last.fields["model"] == "painter"
    assert unheeded(answer) == (set() if used else {"model"})
    assert answer.json()["tools"][0]["model"] == model


@pytest.mark.parametrize("server", ["plain"], indirect=True)
def test_a_server_that_is_gone_fails_the_call_alone(
    painter: Running, upstream: Upstream, server: ImagesServer
) -> None:
    upstream.script(DRAW, Answer("No."))
    server.stop()

    answer = post(painter, {"quality": "low"}).json()

    assert answer["status"] == "completed"
    assert "cannot be reached" in answer["output"][0]["error"]["message"]


@pytest.mark.parametrize("server", ["plain"], indirect=True)
@pytest.mark.parametrize("private", [False, True])
def test_pictures_elsewhere_are_fetched_as_carefully_as_any(
    upstream: Upstream, server: ImagesServer, tmp_path: Path, private: bool
) -> None:
    with ImagesServer("localai") as other:
        other.kept = {"x": base64.b64encode(png()).decode()}
        server.answer = lambda _: web.json_response({"data": [{"url": f"{other.base_url}/images/x/content"}]})
        config = replace(painting(upstream, server, tmp_path), outbound=Outbound(allow_private=private))
        upstream.script(DRAW, Answer("ok"))
        with Running(config) as running:
            call = post(running, {}).json()["output"][0]

    assert call["status"] == ("completed" if private else "failed")


@pytest.mark.parametrize("server", ["sglang"], indirect=True)
def test_a_picture_at_a_path_of_the_server_itself_is_fetched_from_there(
    painter: Running, upstream: Upstream, server: ImagesServer
) -> None:
    server.kept = {"x": base64.b64encode(png(32, 16)).decode()}
    server.answer = lambda _: web.json_response({"data": [{"url": "/v1/images/x/content"}]})
    upstream.script(DRAW, Answer("ok"))

    assert size_of(post(painter, {}).json()["output"][0]["result"]) == "32x16"


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'


@pytest.mark.parametrize("server", ["plain"], indirect=True)
def test_a_drawing_that_models_do_not_read_is_named_in_words(
    painter: Running, upstream: Upstream, server: ImagesServer
) -> None:
    data = base64.b64encode(SVG).decode()
    server.answer = lambda _: web.json_response({"data": [{"b64_json": data}]})
    upstream.script(DRAW, Answer("ok"))

    call = post(painter, {}).json()["output"][0]

    assert (call["output_format"], call["result"]) == ("svg", data)
    assert pictures_in(upstream) == []
    assert data not in json.dumps(upstream.last.body)


@pytest.mark.parametrize("server", ["plain"], indirect=True)
def test_the_words_in_which_the_server_has_put_the_prompt_are_shown(
    painter: Running, upstream: Upstream, server: ImagesServer
) -> None:
    entry = {"b64_json": base64.b64encode(png()).decode(), "revised_prompt": "a fine cat"}
    server.answer = lambda _: web.json_response({"data": [entry]})
    upstream.script(DRAW, Answer("ok"))

    assert post(painter, {}).json()["output"][0]["revised_prompt"] == "a fine cat"


# ---- chat models that answer with pictures ----------------------------------------------------------------


@pytest.fixture
def chatting(upstream: Upstream, tmp_path: Path) -> Iterator[tuple[Running, ImagesServer]]:
    with ImagesServer("plain") as server, Running(painting(upstream, server, tmp_path, dialect="chat")) as up:
        yield up, server


@pytest.mark.parametrize("edit", [False, True])
def test_a_chat_model_that_answers_with_pictures_is_asked(
    chatting: tuple[Running, ImagesServer], upstream: Upstream, edit: bool
) -> None:
    running, server = chatting
    upstream.script(drawing("a cat", edit=edit), Answer("ok"))

    answer = post(running, {"size": "64x64"}, [attached("a cat", ATTACHED)])

    assert server.last.fields["modalities"] == ["image", "text"]
    (said,) = server.last.fields["messages"]
    shown = (
        [part["image_url"]["url"] for part in said["content"] if part["type"] == "image_url"] if edit else []
    )
    assert shown == ([f"data:image/png;base64,{base64.b64encode(ATTACHED).decode()}"] if edit else [])
    assert unheeded(answer) == {"size"}
    body = answer.json()
    assert size_of(body["output"][0]["result"]) == "64x32"
    assert body["tool_usage"]["image_gen"]["output_tokens_details"] == {
        "image_tokens": 1290,
        "text_tokens": 10,
    }


PART = {"type": "image_url", "image_url": f"data:image/png;base64,{base64.b64encode(png()).decode()}"}


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ({"content": [{"type": "text", "text": "Here."}, PART]}, "completed"),
        ({"content": "I may not draw that."}, "failed"),
        ({"content": None}, "failed"),
    ],
)
def test_what_it_answers_is_read_in_every_form(
    chatting: tuple[Running, ImagesServer], upstream: Upstream, message: Json, status: str
) -> None:
    running, server = chatting
    server.answer = lambda _: web.json_response({"choices": [{"message": message}]})
    upstream.script(DRAW, Answer("ok"))

    call = post(running, {}).json()["output"][0]

    assert call["status"] == status
    if message["content"] == "I may not draw that.":
        assert "I may not draw that." in call["error"]["message"]


# ---- models that read no images ---------------------------------------------------------------------------


@pytest.fixture
def blind(upstream: Upstream, tmp_path: Path) -> Iterator[tuple[Running, ImagesServer]]:
    """A model that reads none, with a server of pictures."""
    with ImagesServer("sglang") as server:
        config = painting(upstream, server, tmp_path)
        backend = replace(config.backends["upstream"], dialect="deepseek")
        with Running(replace(config, backends={"upstream": backend})) as running:
            yield running, server


def test_a_model_that_reads_no_images_has_them_made_and_changed(
    blind: tuple[Running, ImagesServer], upstream: Upstream
) -> None:
    running, server = blind
    upstream.script(
        drawing("in red", edit=True), Answer("Red."), drawing("and a hat", edit=True), Answer("So.")
    )

    first = post(running, {}, [attached("Make it red", ATTACHED)]).json()
    again = post(running, {}, "And a hat?", previous_response_id=first["id"]).json()

    made = first["output"][0]["result"]
    assert [request.files for request in server.requests] == [
        [("image", ATTACHED)],
        [("image", base64.b64decode(made))],
    ]
    assert [first["status"], again["status"]] == ["completed"] * 2
    read = json.dumps([request.body for request in upstream.requests])
    assert "image_url" not in read
    assert made not in read
    assert "A picture, which you cannot see" in read
    assert "the user sees it; you cannot" in read


@pytest.mark.parametrize("tools", [[], [TOOL | {"action": "generate"}]])
def test_it_is_refused_images_that_no_tool_works_with(
    blind: tuple[Running, ImagesServer], upstream: Upstream, tools: list[Json]
) -> None:
    running, _ = blind
    body = {"model": "m", "input": [attached("What is it?", ATTACHED)], "tools": tools}

    answer = httpx2.post(f"{running.url}/v1/responses", json=body, timeout=20)

    assert answer.status_code == 400
    assert "cannot read images" in answer.json()["error"]["message"]
    assert upstream.requests == []
