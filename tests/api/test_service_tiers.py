"""The service tier that a response was really served in, whoever says so, and those that a key may have."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests import messages_script, responses_script
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Upstream
from websockets.sync.client import connect

from antiphon.config import BackendSettings, KeySettings, Server, hash_key
from antiphon.protocol.tiers import Tier, tier_of


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


# ---- keys that may not have every tier ------------------------------------------------------------------


@pytest.fixture(scope="module")
def limited(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Keys that are named after the tiers that they may have, before a bounded backend."""
    tiers: dict[str, list[Tier]] = {
        "plain": ["default", "flex"],
        "slow": ["flex"],
        "fast": ["priority"],
        "any": [],
    }
    keys = {name: KeySettings(project="shop", service_tiers=allowed) for name, allowed in tiers.items()}
    server = Server(verify=True, keys={name: hash_key(f"sk-{name}") for name in keys})
    config = config_for(_upstream, tmp_path_factory.mktemp("keys"), server)
    bounded = replace(config.backends["upstream"], max_concurrency=4, dialect="openai")
    strict = BackendSettings(base_url=bounded.base_url, models=["strict"], dialect="gemini")
    with Running(replace(config, keys=keys, backends={"upstream": bounded, "strict": strict})) as running:
        yield running


GRANTED = [
    ("plain", "priority", "default"),
    ("plain", "ultrafast", "default"),
    ("plain", "scale", "default"),
    ("plain", "flex", "flex"),
    ("slow", "fast", "flex"),
    ("slow", None, "flex"),
    ("slow", "auto", "flex"),
    ("fast", "flex", "priority"),
    ("any", "fast", "priority"),
]


@pytest.mark.parametrize(
    "how", [{}, {"stream": True}, {"background": True}], ids=["whole", "streamed", "later"]
)
@pytest.mark.parametrize(("key", "asked", "served"), GRANTED)
def test_a_key_is_served_in_the_tiers_that_it_may_have(
    limited: Running, upstream: Upstream, key: str, asked: Any, served: str, how: Any
) -> None:
    upstream.default = Answer("Hi")
    with checked_client(limited.url, f"sk-{key}") as client:
        request: Any = {"model": "m", "input": "Hi", "service_tier": asked, **how}
        said: Any = client.responses.create(**request)
        response = list(said)[-1].response if how.get("stream") else said
        while response.status in ("queued", "in_progress"):
            response = client.responses.retrieve(response.id)

    assert response.service_tier == served
    assert tier_of(upstream.last.body.get("service_tier")) == served, "its server is told no other"


def test_frames_and_compactions_are_held_to_the_tiers_too(limited: Running, upstream: Upstream) -> None:
    upstream.default = Answer("Hi")
    url, head = limited.url.replace("http", "ws"), {"authorization": "Bearer sk-plain"}
    with connect(f"{url}/v1/responses", additional_headers=head) as socket:
        socket.send(
            json.dumps({"type": "response.create", "model": "m", "input": "Hi", "service_tier": "fast"})
        )
        while (event := json.loads(socket.recv()))["type"] != "response.completed":
            assert event["type"] != "error", event
    assert event["response"]["service_tier"] == "default"
    assert upstream.last.body["service_tier"] == "default"

    with checked_client(limited.url, "sk-plain") as client:
        client.post(
            "/responses/compact", body={"model": "m", "input": "Hi", "service_tier": "fast"}, cast_to=object
        )
    assert upstream.last.body.get("service_tier") != "fast"


OUT: Any = "left out"


def passed_on(
    limited: Running, upstream: Upstream, key: str, path: str = "chat/completions", **body: Any
) -> Any:
    """The tier that the server of the model is asked for."""
    upstream.default = Answer("Hi")
    head = {"authorization": f"Bearer sk-{key}"}
    asked = {"model": "m", **{name: value for name, value in body.items() if value is not OUT}}
    assert httpx2.post(f"{limited.url}/v1/{path}", json=asked, headers=head).status_code == 200
    return upstream.last.body.get("service_tier", OUT)


HI = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("key", "asked", "told"),
    [
        ("plain", "fast", "default"),
        ("plain", "flex", "flex"),
        ("plain", "performance", OUT),
        ("plain", ["priority"], OUT),
        ("plain", OUT, OUT),
        ("slow", OUT, "flex"),
        ("slow", None, "flex"),
        ("slow", "performance", "flex"),
        ("slow", ["priority"], "flex"),
        ("slow", "auto", "flex"),
        ("fast", OUT, "priority"),
        ("any", OUT, OUT),
        ("any", "performance", "performance"),
    ],
)
def test_what_is_passed_on_asks_for_no_tier_that_the_key_may_not_have(
    limited: Running, upstream: Upstream, key: str, asked: Any, told: Any
) -> None:
    assert passed_on(limited, upstream, key, messages=HI, service_tier=asked) == told


def test_no_tier_is_asked_for_where_there_are_none(limited: Running, upstream: Upstream) -> None:
    assert passed_on(limited, upstream, "slow", "completions", prompt="Hi") is OUT
    assert passed_on(limited, upstream, "slow", "embeddings", input="Hi") is OUT
    assert passed_on(limited, upstream, "slow", model="strict", messages=HI) is OUT
