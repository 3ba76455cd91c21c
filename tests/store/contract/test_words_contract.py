"""Words and attributes: what is found by them, and in which order, is the same on every home."""

import json
import math
from collections.abc import Sequence

import pytest
from tests.retrieval.test_filters import ATTRIBUTES, CASES
from tests.retrieval.test_lexical import HOSTILE
from tests.store.contract.kit import P
from tests.store.contract.vectors import add_file, chunk, claim, new_store

from antiphon.retrieval.filters import Combine, Compare, Filter, FilterTooLarge
from antiphon.retrieval.lexical import expression
from antiphon.store.store import Store
from antiphon.store.vector_chunks import NewChunk
from antiphon.store.vector_files import NewEntry
from antiphon.store.vector_index import Slice

TEXTS = [
    ("fruit", "Apples and pears are kept in a cool cellar."),
    ("engines", "The NPM_LIFECYCLE_EVENT variable of os.path names the running stage."),
    ("数据库", "向量数据库存储嵌入。猫が好きです。"),
    ("café", "Résumés are stored for ninety days."),
    *[("", f"Filler {chr(97 + number) * 3} of nothing at all.") for number in range(16)],
]


async def filled(store: Store, texts: Sequence[tuple[str, str]]) -> int:
    """A store with one file that has these chunks; gives its key."""
    await add_file(store, "file")
    await store.vector_stores.create(P, new_store(), [NewEntry("file")])
    job = await claim(store)
    entry = int(job.payload)
    assert await store.vector_index.begin(job, entry, "mini")
    chunks = [_chunk(number, about, text) for number, (about, text) in enumerate(texts)]
    assert await store.vector_index.write(job, entry, Slice(chunks, 2))
    assert await store.vector_index.complete(job, entry)
    found = await store.vector_stores.searched(P, "vs")
    assert found is not None
    return found.key


def _chunk(number: int, about: str, text: str) -> NewChunk:
    return NewChunk(number, 0, 0, len(text), about, text, chunk(0).vectors)


async def said(store: Store, key: int, question: str) -> dict[int, float]:
    """The numbers of chunks, the best first, with their bm25."""
    wanted = expression(question)
    if wanted is None:
        return {}
    found = await store.vector_chunks.said(P, key, wanted, 10, None)
    return {chunk % 2**32: score for chunk, score in found.items()}


async def test_words_are_found_whatever_their_form(store: Store) -> None:
    key = await filled(store, TEXTS)

    for question, numbers in {
        "where do I keep an apple?": [0],
        "what is the npm_lifecycle_event": [1],
        "path": [1],
        "lifecycle running": [1],
        "数据库": [2],
        "猫": [2],
        "resume storing": [3],
        "CAFE": [3],
        "fruit": [0],
        "who is it": [],
        "npm_event": [],
        "🙂 🙃": [],
    }.items():
        assert list(await said(store, key, question)) == numbers, question


@pytest.mark.parametrize("question", HOSTILE)
async def test_no_question_is_an_error(store: Store, question: str) -> None:
    key = await filled(store, TEXTS)

    assert list(await said(store, key, question)) == ([0] if "apple" in question else [])


async def test_a_score_is_bm25_with_what_a_chunk_stands_under_counted_twice(store: Store) -> None:
    texts = [
        ("", "harbour harbour harbour ship"),
        ("harbour", "a ship came here once"),
        ("", "one ship"),
        *[("", f"filler {number} of nothing") for number in range(17)],
    ]
    lengths = [len(f"{about} {text}".split()) for about, text in texts]
    key = await filled(store, texts)

    def bm25(number: int, times: float, having: int) -> float:
        weight = math.log((len(texts) - having + 0.5) / (having + 0.5))
        length = lengths[number] * len(texts) / sum(lengths)
        return weight * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * length))

    found = await said(store, key, "harbour ship")

    assert list(found) == [0, 1, 2]
    assert found == {
        0: pytest.approx(bm25(0, 3, 2) + bm25(0, 1, 3), rel=0.15),
        1: pytest.approx(bm25(1, 2, 2) + bm25(1, 1, 3), rel=0.15),
        2: pytest.approx(bm25(2, 1, 3), rel=0.15),
    }


@pytest.fixture
async def attributed(store: Store) -> tuple[Store, int]:
    """A store of one file with attributes, and many without."""
    names = [f"f{number}" for number in range(450)]
    for name in names:
        await add_file(store, name)
    entries = [NewEntry(names[0], json.dumps(ATTRIBUTES)), *(NewEntry(name, "{}") for name in names[1:])]
    await store.vector_stores.create(P, new_store(), entries)
    for job in await store.work.claim(["index_file"], "worker", 60.0, 1000):
        assert await store.vector_index.begin(job, int(job.payload), "mini")
        assert await store.vector_index.complete(job, int(job.payload))
    found = await store.vector_stores.searched(P, "vs")
    assert found is not None
    return store, found.key


async def test_filters_choose_files_by_their_attributes(attributed: tuple[Store, int]) -> None:
    store, key = attributed
    with_any: Filter = Combine("or", [Compare("ne", "year", [0]), Compare("eq", "year", [0])])
    assert len(await store.vector_chunks.fitting(key, with_any)) == 450
    (mine,) = await store.vector_chunks.fitting(key, Compare("gt", "year", [0]))

    for wanted, fitting in CASES:
        assert (mine in await store.vector_chunks.fitting(key, wanted)) == fitting, wanted
    with pytest.raises(FilterTooLarge):
        await store.vector_chunks.fitting(key, Compare("in", "year", list(range(1000))))


async def test_any_attribute_can_be_looked_for(store: Store) -> None:
    await add_file(store, "file")
    attributes = {"nul": "a\0b", "large": 2**70, "exact": 0.1 + 0.2, "umlaut": "Ä"}
    await store.vector_stores.create(P, new_store(), [NewEntry("file", json.dumps(attributes))])
    job = await claim(store)
    await store.vector_index.begin(job, int(job.payload), "mini")
    await store.vector_index.complete(job, int(job.payload))
    found = await store.vector_stores.searched(P, "vs")
    assert found is not None

    fitting = store.vector_chunks.fitting
    for name in ("large", "exact", "umlaut"):
        assert await fitting(found.key, Compare("eq", name, [attributes[name]])) == {int(job.payload)}, name
    assert await fitting(found.key, Compare("eq", "exact", [0.3])) == set()
    assert await fitting(found.key, Compare("gt", "umlaut", ["Z"])) == {int(job.payload)}
