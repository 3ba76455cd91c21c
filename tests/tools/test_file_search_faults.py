"""Searches that fail: the item says so, the model reads why, and the response goes on."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from msgspec.structs import replace
from openai import APIError, OpenAI
from tests.api.asking import CLOCK, Json, fault, refused, whole
from tests.api.test_background import begin, ended
from tests.conftest import Running, checked_client, config_for
from tests.ledger import covers
from tests.scripted import Answer, Upstream
from tests.tools.embedders import ServedEmbedder
from tests.tools.libraries import FILES, shelve
from tests.tools.test_file_search import FAILED, LOOK, QUESTION, heads, results
from tests.tools.using import ask, emitted, offered, stream

from antiphon.config import Config, Embeddings, FileSearchSettings, Tools


@pytest.fixture
def embedder() -> Iterator[ServedEmbedder]:
    with ServedEmbedder() as embedder:
        yield embedder


@pytest.fixture
def config(upstream: Upstream, tmp_path: Path, embedder: ServedEmbedder) -> Config:
    return replace(
        config_for(upstream, tmp_path),
        embeddings=Embeddings(base_url=f"{embedder.url}/v1", model="words"),
        tools=Tools(file_search=FileSearchSettings(stores=3, seconds=3)),
    )


@pytest.fixture
def client(config: Config) -> Iterator[OpenAI]:
    with Running(config) as running, checked_client(running.url) as client:
        yield client


@pytest.fixture
def tool(client: OpenAI) -> Json:
    return {"type": "file_search", "vector_store_ids": [shelve(client, FILES)]}


def test_an_embedder_that_is_down_fails_the_search_and_the_model_goes_on(
    client: OpenAI, upstream: Upstream, tool: Json, embedder: ServedEmbedder
) -> None:
    upstream.script(LOOK, Answer("I could not look."), LOOK, Answer("They float."))
    embedder.mood = "broken"

    events = stream(client, tool)
    embedder.mood = "well"
    mended = ask(client, tool)

    assert emitted(events)[:4] == FAILED
    call, message = events[-1]["response"]["output"]
    assert (call["status"], call["queries"], call["results"]) == ("failed", [QUESTION], None)
    assert message["content"][0]["text"] == "I could not look."
    assert mended["output"][0]["status"] == "completed"


def test_the_model_reads_why_a_search_failed(
    client: OpenAI, upstream: Upstream, tool: Json, embedder: ServedEmbedder
) -> None:
    upstream.script(LOOK, Answer("I could not look."))
    embedder.mood = "broken"

    ask(client, tool)

    assert "Error: the search failed." in results(upstream)
    assert "No such model." in results(upstream)


def test_a_store_that_is_deleted_meanwhile_fails_the_search(
    client: OpenAI, upstream: Upstream, tool: Json
) -> None:
    upstream.script(LOOK, Answer("They float."), Answer("ok"))
    first = ask(client, tool)
    (store_id,) = tool["vector_store_ids"]
    client.vector_stores.delete(store_id)

    with refused(404) as refusal:
        ask(client, tool, previous_response_id=first["id"])
    again = ask(client, previous_response_id=first["id"])

    assert refusal.message == f"Vector store with id [{store_id}] not found."
    assert again["status"] == "completed", "what was found is read all the same"


def test_a_store_of_another_embedder_refuses_the_request(
    config: Config, upstream: Upstream, embedder: ServedEmbedder
) -> None:
    with Running(config) as running, checked_client(running.url) as client:
        tool = {"type": "file_search", "vector_store_ids": [shelve(client, FILES)]}
    other = Embeddings(base_url=f"{embedder.url}/v1", model="other")
    with (
        Running(replace(config, embeddings=other)) as running,
        checked_client(running.url) as client,
        refused(400, "wrong_embedder") as refusal,
    ):
        ask(client, tool)

    assert "was made with the embedder 'words'" in refusal.message
    assert upstream.requests == []


@covers("failure.vector_store_timeout")
@pytest.mark.parametrize("background", [False, True])
def test_a_search_that_takes_too_long_fails_the_response(
    client: OpenAI, upstream: Upstream, tool: Json, embedder: ServedEmbedder, background: bool
) -> None:
    upstream.script(LOOK)
    embedder.mood = "hanging"

    answer = whole(ended(client, begin(client, tools=[tool]).id)) if background else ask(client, tool)

    assert (answer["status"], answer["error"]["code"]) == ("failed", "vector_store_timeout")
    assert "[tools.file_search] seconds" in answer["error"]["message"]
    (call,) = answer["output"]
    assert (call["status"], call["queries"]) == ("failed", [QUESTION])


def test_more_stores_than_the_setting_allows_are_refused(
    client: OpenAI, upstream: Upstream, tool: Json
) -> None:
    stores = [*tool["vector_store_ids"], "vs_a", "vs_b", "vs_c"]

    with refused(400, "integer_above_max_value", "tools") as refusal:
        ask(client, tool | {"vector_store_ids": stores})

    assert refusal.message.startswith("Invalid input: maximum of 3 vector stores allowed.")
    assert "`stores` of [tools.file_search]" in refusal.message
    assert upstream.requests == []


def test_a_stream_whose_search_takes_too_long_ends_with_an_error(
    client: OpenAI, upstream: Upstream, tool: Json, embedder: ServedEmbedder
) -> None:
    upstream.script(LOOK)
    embedder.mood = "hanging"

    with pytest.raises(APIError, match=r"took longer than 3 seconds"):
        stream(client, tool)


# ---- small windows --------------------------------------------------------------------------------------


def test_a_model_with_a_small_window_reads_the_best_results_alone(
    config: Config, upstream: Upstream, embedder: ServedEmbedder
) -> None:
    window = 400
    small = {"upstream": replace(config.backends["upstream"], context_window=window)}
    files = {f"{n}.md": f"Boats of kind {n} float. " + "They are light. " * 12 for n in range(8)}
    upstream.script(LOOK, Answer("They float 【1】."), Answer("As I said 【1】."))
    with Running(replace(config, backends=small)) as running, checked_client(running.url) as client:
        tool = {"type": "file_search", "vector_store_ids": [shelve(client, files)]}
        first = ask(client, tool, include=["file_search_call.results"])
        read_at_once = results(upstream)
        ask(client, tool, previous_response_id=first["id"])

    found = first["output"][0]["results"]
    assert len(found) == len(files)
    shown = [head.split(" ")[1] for head in heads(read_at_once)]
    assert shown == [result["filename"] for result in found[: len(shown)]]
    assert 1 <= len(shown) < len(found)
    assert len(read_at_once) < 3 * window
    assert results(upstream) == read_at_once, "later it reads the same"


# ---- where nothing is set up ---------------------------------------------------------------------------


@pytest.fixture
def bare(upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx2.Client]:
    """A client of a server without what searches need."""
    monkeypatch.setattr("antiphon.retrieval.minilm.find_spec", lambda name: None)
    with Running(config_for(upstream, tmp_path)) as running, httpx2.Client(base_url=running.url) as http:
        yield http


BODY: Json = {"model": "m", "input": "Hi"}
UNSEARCHED: Json = {"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}, CLOCK]}


def test_without_an_embedder_the_tool_is_not_offered_and_a_warning_says_so(
    bare: httpx2.Client, upstream: Upstream
) -> None:
    upstream.script(Answer("Hi"))

    answer = bare.post("/v1/responses", json=BODY | UNSEARCHED)

    assert answer.json()["status"] == "completed"
    assert answer.headers["x-antiphon-warnings"] == 'file_search;why="not set up on this server"'
    assert list(offered(upstream)) == ["clock"]


@pytest.mark.parametrize(
    "choice",
    [
        {"type": "file_search"},
        {"type": "allowed_tools", "mode": "required", "tools": [{"type": "file_search"}]},
    ],
)
def test_without_an_embedder_it_cannot_be_required(
    bare: httpx2.Client, upstream: Upstream, choice: Json
) -> None:
    answer = bare.post("/v1/responses", json=BODY | UNSEARCHED | {"tool_choice": choice})

    assert fault(answer) == (400, "invalid_request_error", "unsupported_value", "tool_choice")
    assert "`pip install 'antiphon[retrieval]'` installs what it needs" in answer.json()["error"]["message"]
    assert upstream.requests == []


def test_without_an_embedder_it_cannot_be_the_one_tool_that_is_required(
    bare: httpx2.Client, upstream: Upstream
) -> None:
    only = {"tools": UNSEARCHED["tools"][:1], "tool_choice": "required"}

    answer = bare.post("/v1/responses", json=BODY | only)

    assert fault(answer) == (400, "invalid_request_error", "unsupported_value", "tool_choice")
    assert "pip install 'antiphon[retrieval]'" in answer.json()["error"]["message"]
