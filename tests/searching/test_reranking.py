"""Searches whose best results are looked at again by a reranker, over the wire."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from msgspec.structs import replace
from openai import OpenAI
from tests.api.asking import Json
from tests.conftest import Running, checked_client, config_for
from tests.scripted import Answer, Upstream
from tests.tools.libraries import shelve
from tests.tools.rerankers import ServedReranker
from tests.tools.using import ask, calls

from antiphon.config import Config, Reranker

QUESTION = "Why do boats float?"
TEXTS = {
    "boats.md": "Boats float because they are lighter than the water which they push away.",
    "bread.md": "Bread rises because yeast makes gas of sugar.",
    "ducks.md": "Ducks keep dry by the oil on their feathers.",
}
LIKES = {"yeast": 0.9, "oil": 0.4, "lighter": 0.2}
"""Another order than that of any search."""
BEFORE = ["boats.md", "ducks.md", "bread.md"]


@pytest.fixture
def reranker() -> Iterator[ServedReranker]:
    with ServedReranker(LIKES) as reranker:
        yield reranker


@pytest.fixture
def settings() -> Json:
    """What a test adds to `[reranker]`."""
    return {}


@pytest.fixture
def config(upstream: Upstream, tmp_path: Path, reranker: ServedReranker, settings: Json) -> Config:
    named = Reranker(base_url=f"{reranker.url}/v1", model="m", **settings)
    return replace(config_for(upstream, tmp_path), reranker=named)


@pytest.fixture
def client(config: Config) -> Iterator[OpenAI]:
    with Running(config) as running, checked_client(running.url) as client:
        yield client


def found(client: OpenAI, store: str, **members: Any) -> list[tuple[str, float]]:
    page = client.vector_stores.search(store, query=members.pop("query", QUESTION), **members)
    return [(each.filename, each.score) for each in page.data]


def test_it_decides_the_order_and_the_scores(client: OpenAI, reranker: ServedReranker) -> None:
    store = shelve(client, TEXTS)

    assert found(client, store) == [("bread.md", 0.9), ("ducks.md", 0.4), ("boats.md", 0.2)]

    (asked,) = reranker.asked
    assert (asked["model"], asked["query"], asked["top_n"]) == ("m", QUESTION, 3)
    assert sorted(asked["documents"]) == [f"{name[:-3]}\n{text}" for name, text in sorted(TEXTS.items())]


def test_the_tool_searches_with_it(client: OpenAI, upstream: Upstream) -> None:
    upstream.script(calls("file_search", json.dumps({"queries": [QUESTION]})), Answer("They float."))
    tool = {"type": "file_search", "vector_store_ids": [shelve(client, TEXTS)], "max_num_results": 2}

    answer = ask(client, tool, include=["file_search_call.results"])

    results = answer["output"][0]["results"]
    assert [(each["filename"], each["score"]) for each in results] == [("bread.md", 0.9), ("ducks.md", 0.4)]


def test_scores_that_are_too_low_are_those_of_the_reranker(client: OpenAI) -> None:
    store = shelve(client, TEXTS)
    options: Any = {"score_threshold": 0.3}
    assert [name for name, _ in found(client, store, ranking_options=options)] == ["bread.md", "ducks.md"]


def test_of_several_questions_a_text_has_its_best_score(client: OpenAI, reranker: ServedReranker) -> None:
    store = shelve(client, TEXTS)
    assert found(client, store, query=["boats", "ducks"])[0] == ("bread.md", 0.9)
    assert sorted(asked["query"] for asked in reranker.asked) == ["boats", "ducks"]


def test_no_ranker_means_no_reranker(client: OpenAI, reranker: ServedReranker) -> None:
    store = shelve(client, TEXTS)
    options: Any = {"ranker": "none"}
    assert found(client, store, ranking_options=options)[0][0] == "boats.md"
    assert reranker.asked == []


def test_an_empty_store_asks_nobody(client: OpenAI, reranker: ServedReranker) -> None:
    assert found(client, client.vector_stores.create(name="Empty").id) == []
    assert reranker.asked == []


@pytest.mark.parametrize("settings", [{"candidates": 2, "characters": 100}])
def test_it_looks_at_so_many_candidates_and_so_much_of_each(client: OpenAI, reranker: ServedReranker) -> None:
    store = shelve(client, TEXTS | {"long.md": "boats " * 100})

    assert len(found(client, store, max_num_results=1)) == 1

    (asked,) = reranker.asked
    assert len(asked["documents"]) == 2
    assert max(map(len, asked["documents"])) == 100


@pytest.mark.parametrize("settings", [{"seconds": 2}])
@pytest.mark.parametrize(("mood", "reason"), [("broken", "HTTP 404"), ("hanging", "within 2 seconds")])
def test_a_search_is_not_lost_when_it_fails_and_the_log_says_so(
    client: OpenAI, reranker: ServedReranker, mood: Any, reason: str
) -> None:
    store = shelve(client, TEXTS)
    options: Any = {"score_threshold": 0.05}
    reranker.mood = mood

    with structlog.testing.capture_logs() as logs:
        names = [name for name, _ in found(client, store)]
        several = found(client, store, query=["boats", "ducks"], ranking_options=options)

    assert names == BEFORE
    assert several
    said = [entry for entry in logs if entry["event"] == "results were not reranked"]
    assert len(said) == 2
    assert all(reason in entry["reason"] for entry in said)
