"""A search over a small store, with the real embedder and a real table of words."""

import sqlite3
from collections.abc import AsyncIterator, Mapping

import numpy as np
import pytest

from antiphon.retrieval import lexical
from antiphon.retrieval.chunks import chunks
from antiphon.retrieval.minilm import DIMENSION, MiniLM
from antiphon.retrieval.packing import packed
from antiphon.retrieval.ranking import DENSE, Weights
from antiphon.retrieval.search import Search
from antiphon.retrieval.vectors import VectorTable

TEXTS = [
    "Bread is baked from flour, water and yeast, and rises for an hour.",
    "The contract may be ended by either side with three months' notice.",
    "Error E4711 means that the pump has no water: close valve B7.",
    "Kittens sleep up to twenty hours a day.",
]


class Words:
    def __init__(self) -> None:
        self.database = sqlite3.connect(":memory:", check_same_thread=False)
        self.database.execute(lexical.CREATE.format(table="words"))
        self.asked: list[str] = []

    async def __call__(self, expression: lexical.Expression, count: int) -> Mapping[int, float]:
        self.asked.append(expression.text)
        asked = {"1": expression.text, "2": count}
        rows = self.database.execute(lexical.SEARCH.format(table="words"), asked)
        return dict(rows.fetchall())


@pytest.fixture
async def embedder() -> AsyncIterator[MiniLM]:
    made = MiniLM()
    yield made
    await made.close()


@pytest.fixture
def words() -> Words:
    return Words()


@pytest.fixture
async def search(embedder: MiniLM, words: Words) -> Search:
    vectors = VectorTable(DIMENSION)
    for key, text in enumerate(TEXTS):
        for chunk in chunks(text):
            made = await embedder.embed(chunk.embedded(""))
            vectors.append([key] * len(made), packed(made))
            row = {"1": key, "2": "", "3": lexical.indexed(chunk.own)}
            words.database.execute(lexical.INSERT.format(table="words"), row)
    return Search(embedder.embed, vectors, words)


async def first(search: Search, question: str, weights: Weights = DENSE) -> int:
    return (await search.ranked([question], 10, weights))[0][0]


async def test_meaning_finds_what_has_none_of_the_words(search: Search) -> None:
    assert await first(search, "how do I get out of an agreement?") == 1
    assert await first(search, "young cats") == 3


async def test_words_find_what_meaning_does_not_know(search: Search) -> None:
    ranked = await search.ranked(["E4711"], 10, Weights(0, 1))
    assert [key for key, _ in ranked] == [2]


async def test_each_half_is_asked_only_when_it_counts(search: Search, words: Words) -> None:
    await search.ranked(["water"], 10, DENSE)
    assert words.asked == []
    found = await search.ranked(["water"], 10, Weights(0, 1))
    assert {key for key, _ in found} == {0, 2}


async def test_several_questions_share_one_list(search: Search) -> None:
    ranked = await search.ranked(["baking a loaf", "how long does a kitten sleep"], 10)
    assert {key for key, _ in ranked[:2]} == {0, 3}
    assert len(ranked) == len(TEXTS)


@pytest.mark.parametrize("weights", [DENSE, Weights(), Weights(0, 1)])
async def test_only_what_is_allowed_is_found(search: Search, weights: Weights) -> None:
    ranked = await search.ranked(
        ["water for the bread and the contract"], 10, weights, allowed=np.array([1, 3])
    )
    assert {key for key, _ in ranked} <= {1, 3}
    assert ranked[0][0] == 1


@pytest.mark.parametrize("question", ["", " ", '" OR *', "🙂", "猫", "the", "x" * 50_000])
async def test_any_question_can_be_asked(search: Search, question: str) -> None:
    ranked = await search.ranked([question], 10)
    assert all(0 <= score <= 1 for _, score in ranked)


async def test_a_large_store_is_searched_beside_the_event_loop(embedder: MiniLM, words: Words) -> None:
    vectors = VectorTable(DIMENSION)
    [wanted] = await embedder.embed(["needle"])
    rows = np.random.default_rng(1).normal(size=(20_000, DIMENSION)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    rows[12_345] = wanted
    vectors.append(np.arange(20_000), packed(rows))
    [(key, score), *_] = await Search(embedder.embed, vectors, words).ranked(["needle"], 5, DENSE)
    assert key == 12_345
    assert score > 0.99


async def test_an_empty_store_finds_nothing(embedder: MiniLM, words: Words) -> None:
    assert await Search(embedder.embed, VectorTable(DIMENSION), words).ranked(["anything"], 5) == []
