"""The service tier that a response was really served in, whoever says so."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests import messages_script, responses_script
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Upstream

from antiphon.config import BackendSettings


@pytest.fixture(scope="module")
def running(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A backend of each type, and one that bounds how much is asked at once."""
    url = _upstream.base_url
    backends: dict[str, BackendSettings] = {
        "chat": BackendSettings(base_url=url, models=["chat"], dialect="generic"),
        "gpt": BackendSettings(type="responses", base_url=url, models=["gpt"]),
        "claude": BackendSettings(type="anthropic", base_url=url, models=["claude"]),
        "bounded": BackendSettings(
            base_url=url, models=["bounded"], dialect="generic", max_concurrency=4, default=True
        ),
    }
    config = config_for(_upstream, tmp_path_factory.mktemp("tiers"))
    with Running(replace(config, backends=backends)) as running:
        yield running


@pytest.fixture
def client(running: Running, upstream: Upstream) -> Iterator[OpenAI]:
    with checked_client(running.url) as client:
        yield client


def chunk(**members: Any) -> bytes:
    return f"data: {json.dumps({'object': 'chat.completion.chunk', **members})}\n\n".encode()


def chat(tier: Any) -> Answer:
    """An answer whose server says in each chunk how it serves."""
    said = [{"index": 0, "delta": {"content": "Hi"}}, {"index": 0, "delta": {}, "finish_reason": "stop"}]
    chunks = [chunk(choices=[each], service_tier=tier) for each in said]
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    return Answer(raw=[*chunks, chunk(choices=[], usage=usage, service_tier=tier), b"data: [DONE]\n\n"])


def gpt(tier: Any) -> Answer:
    return responses_script.answer(responses_script.text("Hi"), service_tier=tier)


def claude(tier: Any) -> Answer:
    return messages_script.answer(messages_script.text("Hi"), usage={"service_tier": tier})


TOLD = {
    "chat, served so": ("chat", chat("flex"), "flex", "flex"),
    "chat, served otherwise": ("chat", chat("default"), "priority", "default"),
    "chat, in a name that nobody knows": ("chat", chat("on_demand"), "priority", "default"),
    "chat, not told": ("chat", chat(None), "flex", "default"),
    "chat, no text": ("chat", chat({"tier": 1}), "flex", "default"),
    "responses, served so": ("gpt", gpt("priority"), "fast", "priority"),
    "responses, served otherwise": ("gpt", gpt("default"), "priority", "default"),
    "responses, sent back as it came": ("gpt", gpt("auto"), "auto", "default"),
    "anthropic, of its own accord": ("claude", claude("priority"), None, "priority"),
    "anthropic, as usual": ("claude", claude("standard"), None, "default"),
    "a queue of ours, and its server": ("bounded", chat("default"), "priority", "default"),
    "a queue of ours alone": ("bounded", chat(None), "priority", "priority"),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("model", "answer", "asked", "shown"), TOLD.values(), ids=TOLD)
def test_the_tier_that_was_used_is_told(
    client: OpenAI, upstream: Upstream, model: str, answer: Answer, asked: Any, shown: str, stream: bool
) -> None:
    upstream.script(answer)
    request: Any = {"model": model, "input": "Hi", "service_tier": asked, "stream": stream}
    said: Any = client.responses.create(**request)
    response = list(said)[-1].response if stream else said

    assert response.service_tier == shown
    assert client.responses.retrieve(response.id).service_tier == shown
