"""/v1/models"""

from pathlib import Path

import httpx2
from openai import OpenAI
from tests.api.asking import refused, whole, wholes
from tests.conftest import Running, checked_client
from tests.ledger import covers
from tests.scripted import Answer, Upstream

from antiphon.config import BackendSettings, Config, Server

SCRIPTED = {"id": "scripted", "object": "model", "created": 1700000000, "owned_by": "tests"}


@covers("endpoint.GET /models")
def test_the_upstreams_models_are_listed(client: OpenAI, http: httpx2.Client, upstream: Upstream) -> None:
    assert wholes(client.models.list()) == [SCRIPTED]
    assert http.get("/v1/models?client_version=0.169.0").json()["object"] == "list"


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


def test_codex_finds_a_catalogue_beside_the_list(http: httpx2.Client, upstream: Upstream) -> None:
    listed = http.get("/v1/models", params={"client_version": "0.169.0"}).json()
    assert listed["models"] == []
    assert [model["id"] for model in listed["data"]] == list(upstream.models)
