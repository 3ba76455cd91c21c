"""/v1/models"""

from pathlib import Path

import httpx2
import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json, refused, whole, wholes
from tests.conftest import Running, checked_client, config_for
from tests.ledger import covers
from tests.scripted import Answer, Upstream

from antiphon.config import BackendSettings, Config, Server

SCRIPTED = {"id": "scripted", "object": "model", "created": 1700000000, "owned_by": "tests"}


@covers("endpoint.GET /models")
def test_the_upstreams_models_are_listed(client: OpenAI, http: httpx2.Client, upstream: Upstream) -> None:
    assert wholes(client.models.list()) == [SCRIPTED]
    assert http.get("/v1/models?client_version=0.171.0").json()["object"] == "list"


@covers("endpoint.GET /models/{model}")
def test_a_model_is_found_by_its_name(client: OpenAI, upstream: Upstream) -> None:
    upstream.models = ["scripted", "org/model:7b"]

    assert whole(client.models.retrieve("scripted")) == SCRIPTED
    assert whole(client.models.retrieve("org/model:7b")) == SCRIPTED | {"id": "org/model:7b"}


@covers("error.model_not_found")
def test_an_unknown_model_is_not_found(client: OpenAI, upstream: Upstream) -> None:
    with refused(404, "model_not_found", "model"):
        client.models.retrieve("unknown")


def two_backends(upstream: Upstream, data_dir: Path) -> Config:
    named = BackendSettings(base_url=upstream.base_url, models={"gpt-5": "scripted", "o*": ""})
    down = BackendSettings(base_url="http://127.0.0.1:9/v1", models=["lost"])
    return Config(data_dir=str(data_dir), server=Server(verify=True), backends={"a": named, "b": down})


def test_names_reach_the_backend_that_has_them(upstream: Upstream, tmp_path: Path) -> None:
    upstream.default = Answer("Hello")
    with Running(two_backends(upstream, tmp_path)) as running, checked_client(running.url) as client:
        mapped = client.responses.create(model="gpt-5", input="Hi")
        matched = client.responses.create(model="o3", input="Hi")
        with refused(400, "model_not_found", "model"):
            client.responses.create(model="claude", input="Hi")
        listed = [model.id for model in client.models.list()]

    assert [received.body["model"] for received in upstream.requests] == ["scripted", "o3"]
    assert [mapped.model, matched.model] == ["scripted", "o3"]
    assert listed == ["gpt-5", "lost"]


def test_a_backend_that_is_down_hides_no_other(upstream: Upstream, tmp_path: Path) -> None:
    with Running(two_backends(upstream, tmp_path)) as running, checked_client(running.url) as client:
        assert client.models.retrieve("gpt-5").created == SCRIPTED["created"]


def catalogue(url: str) -> tuple[dict[str, Json], httpx2.Response]:
    """What Codex reads, by name."""
    told = httpx2.get(f"{url}/v1/models", params={"client_version": "0.171.0"})
    return {model["slug"]: model for model in told.json()["models"]}, told


def test_codex_finds_a_catalogue_beside_the_list(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.models = ["scripted", "org/model:7b"]

    listed = http.get("/v1/models", params={"client_version": "0.171.0"}).json()

    assert [model["id"] for model in listed["data"]] == ["scripted", "org/model:7b"]
    assert [model["slug"] for model in listed["models"]] == ["scripted", "org/model:7b"]
    assert [model["priority"] for model in listed["models"]] == [0, 1]
    assert "models" not in http.get("/v1/models").json()


def test_the_catalogue_says_what_a_model_can(upstream: Upstream, tmp_path: Path) -> None:
    vllm = BackendSettings(base_url=upstream.base_url, dialect="vllm", models=["large"], context_window=5000)
    plain = BackendSettings(base_url=upstream.base_url, dialect="deepseek", models=["plain"])
    with Running(Config(data_dir=str(tmp_path), backends={"a": vllm, "b": plain})) as running:
        models, _ = catalogue(running.url)

    large, plain_one = models["large"], models["plain"]
    assert (large["context_window"], large["max_context_window"]) == (5000, 5000)
    assert large["truncation_policy"] == {"mode": "tokens", "limit": 625}
    assert "context_window" not in plain_one
    assert plain_one["truncation_policy"] == {"mode": "tokens", "limit": 10_000}
    assert large["input_modalities"] == ["text", "image"]
    assert plain_one["input_modalities"] == ["text"]
    assert "apply_patch" in large["base_instructions"]


@pytest.mark.parametrize(
    ("said", "window"),
    [
        ({"max_model_len": 4096}, 4096),
        ({"context_length": 131_072}, 131_072),
        ({"context_window": 8192}, 8192),
        ({"max_context_length": 2048}, 2048),
        ({"max_input_tokens": 1000}, 1000),
        ({"meta": {"n_ctx_train": 512}}, 512),
        ({"meta": None, "max_model_len": None}, None),
        ({"max_model_len": "4096", "context_length": -1, "context_window": True}, None),
    ],
)
def test_a_models_context_is_what_its_server_lists(
    upstream: Upstream, tmp_path: Path, said: Json, window: int | None
) -> None:
    upstream.listed = said
    with Running(config_for(upstream, tmp_path)) as running:
        assert catalogue(running.url)[0]["scripted"].get("context_window") == window


def test_what_is_configured_comes_before_what_a_server_lists(upstream: Upstream, tmp_path: Path) -> None:
    upstream.listed = {"max_model_len": 4096}
    settings = BackendSettings(base_url=upstream.base_url, models={"mine": "scripted"}, dialect="generic")
    backends = {"a": settings, "b": replace(settings, models={"small": "scripted"}, context_window=1000)}
    with Running(Config(data_dir=str(tmp_path), backends=backends)) as running:
        models, _ = catalogue(running.url)

    assert {name: model["context_window"] for name, model in models.items()} == {"mine": 4096, "small": 1000}


def test_codex_knows_by_the_etag_whether_a_catalogue_is_new(upstream: Upstream, tmp_path: Path) -> None:
    with Running(config_for(upstream, tmp_path)) as running:
        tags = []
        for names in (["a"], ["a"], ["a", "b"]):
            upstream.models = names
            tags.append(catalogue(running.url)[1].headers["etag"])

    assert tags[0] == tags[1] != tags[2]


def test_one_odd_entry_hides_no_other_model(http: httpx2.Client, upstream: Upstream) -> None:
    upstream.listed = {"created": "yesterday", "owned_by": 7}

    listed = http.get("/v1/models").json()["data"]

    assert listed == [{"id": "scripted", "object": "model", "created": 0, "owned_by": "antiphon"}]
