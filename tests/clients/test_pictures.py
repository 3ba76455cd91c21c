"""What clients make of pictures: the AI SDK's `openai.tools.imageGeneration`, and the Agents SDK's
`ImageGenerationTool`."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from agents import Agent, ImageGenerationTool, OpenAIResponsesModel, RunConfig, Runner
from openai import AsyncOpenAI
from tests.clients.node import Node
from tests.conftest import Running
from tests.scripted import Answer, Upstream
from tests.tools.images_server import ImagesServer
from tests.tools.painting import DRAW, _images, drawing, images, painter, size_of

__all__ = ["_images", "images", "painter"]


@pytest.fixture(params=["6", "7"])
def play(request: pytest.FixtureRequest, node: Node, painter: Running, tmp_path: Path) -> Any:
    """Plays a scenario of ai_sdk.mjs with a version."""

    def play(scenario: str) -> Any:
        return node.ask("ai_sdk.mjs", f"{scenario}@{request.param}", painter.url, tmp_path)

    return play


@pytest.fixture
async def model(painter: Running) -> AsyncIterator[OpenAIResponsesModel]:
    async with (
        asyncio.timeout(30),
        AsyncOpenAI(base_url=f"{painter.url}/v1", api_key="sk-test", max_retries=0) as client,
    ):
        yield OpenAIResponsesModel("m", client)


def test_the_ai_sdk_has_a_picture_made_and_changed(
    play: Any, upstream: Upstream, images: ImagesServer
) -> None:
    upstream.script(DRAW, Answer("A cat."), drawing("a red cat", edit=True), Answer("Red."))

    told = play("pictures")

    (first,), (second,) = told["results"]
    assert [size_of(first), size_of(second)] == ["1024x1024"] * 2
    assert images.last.path == "/v1/images/edits"
    assert images.last.files == [("image", base64.b64decode(first))]
    assert images.last.fields["output_format"] == "webp"
    assert told["text"] == "Red."


def test_the_ai_sdk_shows_partial_pictures(play: Any, upstream: Upstream, images: ImagesServer) -> None:
    upstream.script(DRAW, Answer(""))

    told = play("streamedPictures")

    assert told["failures"] == []
    assert len(set(told["shown"])) == 3, "two that are not finished, and the picture"
    assert {size_of(result) for result in told["shown"]} == {"64x32"}


async def test_the_agents_sdk_has_a_picture_made_and_changed(
    model: OpenAIResponsesModel, upstream: Upstream, images: ImagesServer
) -> None:
    upstream.script(DRAW, Answer("A cat."), drawing("a red cat", edit=True), Answer("Red."))
    tool = ImageGenerationTool({"type": "image_generation", "quality": "low"})
    agent = Agent("Ann", model=model, tools=[tool])
    config = RunConfig(tracing_disabled=True)

    first = await Runner.run(agent, "A cat", run_config=config)
    said = [*first.to_input_list(), {"role": "user", "content": "Make it red"}]
    second = await Runner.run(agent, said, run_config=config)  # type: ignore[arg-type]

    (picture,) = [
        item.raw_item.result  # type: ignore[union-attr]
        for item in first.new_items
        if getattr(item.raw_item, "type", "") == "image_generation_call"
    ]
    assert first.final_output == "A cat."
    assert second.final_output == "Red."
    assert images.last.files == [("image", base64.b64decode(picture))]
