"""`rewrite_query` over the wire: a model puts questions into better words before they are searched."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json, refused
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Gate, Upstream, refusal
from tests.tools.libraries import FILES, shelve

from antiphon.config import Config, FileSearchSettings, Tools

QUESTION = "Hello! Could you please tell me\nhow long it was?"
WHY = 'rewrite_query;why="{}"'


@pytest.fixture
def settings() -> Json:
    """What a test sets of `[tools.file_search]`."""
    return {"rewrite_model": "writer", "rewrite_seconds": 3}


@pytest.fixture
def config(upstream: Upstream, tmp_path: Path, settings: Json) -> Config:
    return replace(config_for(upstream, tmp_path), tools=Tools(file_search=FileSearchSettings(**settings)))


@pytest.fixture
def client(config: Config) -> Iterator[OpenAI]:
    with Running(config) as running, checked_client(running.url) as client:
        yield client


@pytest.fixture
def store(client: OpenAI) -> str:
    return shelve(client, FILES)


def searched(client: OpenAI, store: str, query: Any, **members: Any) -> tuple[Json, str | None]:
    """The page that was found, and the warnings."""
    answer = client.vector_stores.with_raw_response.search(store, query=query, **members)
    return answer.http_response.json(), answer.headers.get("x-antiphon-warnings")


def test_what_the_model_writes_is_searched_and_shown(client: OpenAI, upstream: Upstream, store: str) -> None:
    upstream.script(Answer('  "ducks oil feathers"\n'))

    page, warnings = searched(client, store, QUESTION, rewrite_query=True)

    assert (page["search_query"], warnings) == (["ducks oil feathers"], None)
    assert page["data"][0]["filename"] == "ducks.md"
    (request,) = upstream.requests
    assert request.body["model"] == "writer"
    _, asked = request.body["messages"]
    assert asked["content"] == "Hello! Could you please tell me how long it was?"


def test_several_queries_are_rewritten_with_one_call(client: OpenAI, upstream: Upstream, store: str) -> None:
    upstream.script(Answer("1. boats that float\n\n2) oil of ducks\n"))

    page, warnings = searched(client, store, ["boats?", "ducks?"], rewrite_query=True)

    assert (page["search_query"], warnings) == (["boats that float", "oil of ducks"], None)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("members", [{}, {"rewrite_query": False}])
def test_it_is_off_unless_it_is_asked_for(
    client: OpenAI, upstream: Upstream, store: str, members: Json
) -> None:
    page, _ = searched(client, store, QUESTION, **members)
    assert (page["search_query"], upstream.requests) == ([QUESTION], [])


@pytest.mark.parametrize("text", ["", "\n \n", "one query\nand one more"])
def test_an_answer_that_is_no_query_leaves_the_question_as_it_is(
    client: OpenAI, upstream: Upstream, store: str, text: str
) -> None:
    upstream.script(Answer(text))

    page, warnings = searched(client, store, QUESTION, rewrite_query=True)

    assert (page["search_query"], warnings) == ([QUESTION], WHY.format("the model wrote no queries"))
    assert page["data"]


def test_a_model_that_fails_or_takes_too_long_leaves_the_question_as_it_is(
    client: OpenAI, upstream: Upstream, store: str
) -> None:
    upstream.script(refusal(401, "No."), Answer("late", gate=Gate(after=0)))
    for _ in range(2):
        page, warnings = searched(client, store, QUESTION, rewrite_query=True)
        assert (page["search_query"], warnings) == ([QUESTION], WHY.format("the model did not answer"))
        assert page["data"]


def test_a_long_answer_is_cut(client: OpenAI, upstream: Upstream, store: str) -> None:
    upstream.script(Answer("boats " * 10_000))
    page, _ = searched(client, store, QUESTION, rewrite_query=True)
    assert len(page["search_query"][0]) == 1_000


@pytest.mark.parametrize("settings", [{}])
def test_without_a_model_it_is_refused(client: OpenAI, store: str) -> None:
    with refused(400, param="rewrite_query") as refusal:
        client.vector_stores.search(store, query=QUESTION, rewrite_query=True)
    assert "`rewrite_model` of [tools.file_search] names one" in refusal.message


def test_a_store_that_is_not_there_asks_no_model(client: OpenAI, upstream: Upstream) -> None:
    with refused(404):
        client.vector_stores.search("vs_missing", query=QUESTION, rewrite_query=True)
    assert upstream.requests == []


def test_a_model_that_nobody_has_is_refused_by_its_name(upstream: Upstream, config: Config) -> None:
    only = {name: replace(backend, models=["m"], default=False) for name, backend in config.backends.items()}
    with Running(replace(config, backends=only)) as running, checked_client(running.url) as client:
        store = client.vector_stores.create()
        with refused(400, param="rewrite_query") as refusal:
            client.vector_stores.search(store.id, query=QUESTION, rewrite_query=True)
    assert "nobody answers to 'writer'" in refusal.message


@pytest.mark.parametrize("settings", [{}])
@pytest.mark.parametrize(
    "members", [{"default": "house"}, {"default": True, "models": ["gpt-*", "house", "other"]}]
)
def test_what_the_default_backend_is_configured_with_is_the_model(
    upstream: Upstream, config: Config, members: Json
) -> None:
    named = {name: replace(backend, **members) for name, backend in config.backends.items()}
    upstream.script(Answer("boats"))
    with Running(replace(config, backends=named)) as running, checked_client(running.url) as client:
        page = client.vector_stores.search(
            client.vector_stores.create().id, query=QUESTION, rewrite_query=True
        )
    assert page.to_dict()["search_query"] == ["boats"]
    assert upstream.last.body["model"] == "house"
