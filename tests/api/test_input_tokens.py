"""POST /v1/responses/input_tokens."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import OpenAI
from tests.api.asking import ADD, Json, fault, refused, whole
from tests.conftest import Running, checked_client
from tests.ledger import covers
from tests.scripted import Answer, Upstream

from antiphon.config import BackendSettings, Config, Server


@pytest.fixture(scope="module")
def counting(_upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server whose upstream counts words, and answers as `local` when no model is named."""
    backend = BackendSettings(
        base_url=_upstream.base_url, default="local", dialect="vllm", context_window=2048
    )
    data_dir: Path = tmp_path_factory.mktemp("data")
    settings = Config(data_dir=str(data_dir), server=Server(verify=True), backends={"upstream": backend})
    with Running(settings) as running:
        yield running


@pytest.fixture
def counter(upstream: Upstream, counting: Running) -> Iterator[OpenAI]:
    upstream.tokenizer = "messages"
    with checked_client(counting.url) as client:
        yield client


def counted(client: OpenAI, **members: Any) -> int:
    told = client.responses.input_tokens.count(**members)
    assert whole(told) == {"object": "response.input_tokens", "input_tokens": told.input_tokens}
    return told.input_tokens


@covers("endpoint.POST /responses/input_tokens")
def test_tokens_are_counted_by_the_models_own_tokenizer(counter: OpenAI, upstream: Upstream) -> None:
    # "user: one two three"; nothing is asked of the model itself
    assert counted(counter, model="m", input="one two three") == 4
    assert upstream.requests == []


def test_what_is_counted_is_what_the_model_would_read(counter: OpenAI, upstream: Upstream) -> None:
    body: Json = {"instructions": "Be brief.", "input": "Hi", "tools": [ADD], "text": {"verbosity": "low"}}
    counted(counter, **body)
    upstream.script(Answer("ok"))

    counter.responses.create(model="local", **body)

    asked, read = upstream.others[-1].body, upstream.last.body
    assert asked == {name: read[name] for name in ("model", "messages", "tools")}


def test_the_context_so_far_counts(counter: OpenAI, upstream: Upstream) -> None:
    upstream.script(Answer("four five"))
    first = counter.responses.create(model="m", input="one two three")
    conversation = counter.conversations.create(items=[{"role": "user", "content": "one two"}])

    assert counted(counter, model="m", input="six", previous_response_id=first.id) == 9
    assert counted(counter, model="m", input="six", conversation=conversation.id) == 4


def test_everything_may_be_left_out(counter: OpenAI, counting: Running, upstream: Upstream) -> None:
    assert counted(counter) == 0
    with httpx2.Client(base_url=counting.url) as http:
        assert http.post("/v1/responses/input_tokens").json()["input_tokens"] == 0


def test_a_context_that_is_too_long_is_counted(counter: OpenAI) -> None:
    assert counted(counter, model="m", input="word " * 3000) == 3001


def test_with_truncation_what_is_left_is_counted(counter: OpenAI) -> None:
    said: Any = [{"role": "user", "content": "word " * 500} for _ in range(6)]

    assert counted(counter, model="m", input=said, truncation="auto") <= 1024


def test_without_a_tokenizer_tokens_are_estimated(client: OpenAI) -> None:
    assert counted(client, model="m", input="x" * 400) == 104


def test_without_any_name_a_model_must_be_named(client: OpenAI) -> None:
    with refused(400, "missing_required_parameter", "model"):
        client.responses.input_tokens.count(input="Hi")


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        ({"model": 7}, 400, "invalid_type", "model"),
        ({"model": "m", "temperature": 1}, 400, "unknown_parameter", "temperature"),
        ({"model": "m", "input": [{"type": "bogus"}]}, 400, "invalid_value", "input[0]"),
        ({"model": "m", "input": [{"role": "user"}]}, 400, "missing_required_parameter", "input[0].content"),
        ({"model": "m", "personality": "friendly"}, 400, "unsupported_parameter", "personality"),
        ({"model": "m", "conversation": "conv_x"}, 404, None, None),
        (
            {"model": "m", "previous_response_id": "resp_x"},
            400,
            "previous_response_not_found",
            "previous_response_id",
        ),
        (
            {"model": "m", "previous_response_id": "resp_x", "conversation": "conv_x"},
            400,
            "mutually_exclusive_parameters",
            None,
        ),
        ({"model": "m", "tool_choice": "required"}, 400, None, "tool_choice"),
    ],
    ids=str,
)
def test_a_wrong_request_is_refused_with_its_place(
    http: httpx2.Client, body: Json, status: int, code: str | None, param: str | None
) -> None:
    told = http.post("/v1/responses/input_tokens", json=body)

    assert fault(told) == (status, "invalid_request_error", code, param)
