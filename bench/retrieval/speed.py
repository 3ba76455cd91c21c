"""What a search costs at several sizes of a store, and what indexing does."""

import asyncio
import resource
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from msgspec import Struct

from antiphon.retrieval.embedder import Embedder, Vectors
from antiphon.retrieval.packing import packed
from antiphon.retrieval.search import Search
from antiphon.retrieval.vectors import VectorTable
from bench.retrieval.index import Index, Words
from bench.retrieval.postgres import PostgresWords

SIZES = (1_000, 10_000, 20_000, 100_000)
"""Chunks."""
_WARM = 30
"""Searches."""


class Cost(Struct, frozen=True):
    """Of one search, the embedding of its question included."""

    chunks: int
    vectors: int
    megabytes: float
    """Of the vectors in memory."""
    opened: float
    """Seconds from vectors on the disk to the first answer."""
    latency: float
    """Seconds, the median of warm searches."""
    worst: float
    cpu: float
    """Seconds of a warm search, of all threads."""
    database: float
    """The same of the database's process, for words."""
    vectors_alone: float
    words_alone: float
    """Seconds of a warm look-up, without the embedding."""


def cost(
    index: Index,
    vectors: Vectors,
    questions: Sequence[str],
    size: int,
    embedder: Embedder,
    postgres: str | None,
) -> Cost:
    """A store of `size` chunks is made of ours, again and again: their vectors are moved a little, and the
    words of each copy are in another order, so that lists of words are as long as they would be."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        words = PostgresWords(postgres) if postgres else Words(path / "words.db")
        _write(path, words, index, vectors, size)
        return asyncio.run(_searched(path, words, questions, embedder, size))


def _write(folder: Path, words: Words | PostgresWords, index: Index, vectors: Vectors, size: int) -> None:
    random = np.random.default_rng(7)
    owners = np.asarray(index.owners)
    copies = -(-size // len(index.chunks))
    keys = np.concatenate([owners + copy * len(index.chunks) for copy in range(copies)])
    kept = keys < size
    rows = np.concatenate(
        [vectors + random.normal(0, 0.02, vectors.shape).astype(np.float32) for _ in range(copies)]
    )
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    np.save(folder / "rows.npy", packed(rows[kept]))
    np.save(folder / "keys.npy", keys[kept])
    words.add(
        (key, "", " ".join(random.permutation(index.chunks[key % len(index.chunks)].own.split())))
        for key in range(size)
    )
    words.settle()


async def _searched(
    folder: Path, words: Words | PostgresWords, questions: Sequence[str], embedder: Embedder, size: int
) -> Cost:
    await embedder.embed(["so that it is loaded"])
    begun = time.perf_counter()
    table = VectorTable.holding(np.load(folder / "keys.npy"), np.load(folder / "rows.npy"))
    search = Search(embedder.embed, table, words)
    await search.ranked(questions[:1], 10)
    opened = time.perf_counter() - begun
    asked = questions[1 : _WARM + 1]
    vectors = await embedder.embed(asked)
    before = words.cpu()
    times, cpu = await _timed(lambda place: search.ranked([asked[place]], 10), len(asked))
    database = (words.cpu() - before) / len(asked)
    return Cost(
        chunks=size,
        vectors=len(table),
        megabytes=table.nbytes / 2**20,
        opened=opened,
        latency=median(times),
        worst=max(times),
        cpu=cpu,
        database=database,
        vectors_alone=median(_each(lambda place: table.nearest(vectors[place], 100), len(asked))),
        words_alone=median(_each(lambda place: words.asked(asked[place]), len(asked))),
    )


async def _timed(work: Callable[[int], Awaitable[object]], count: int) -> tuple[list[float], float]:
    """Seconds of each, and seconds of processor time of one on average."""
    times = []
    before = time.process_time()
    for place in range(count):
        begun = time.perf_counter()
        await work(place)
        times.append(time.perf_counter() - begun)
    return times, (time.process_time() - before) / count


def _each(work: Callable[[int], object], count: int) -> list[float]:
    times = []
    for place in range(count):
        begun = time.perf_counter()
        work(place)
        times.append(time.perf_counter() - begun)
    return times


def resident() -> float:
    """Megabytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
