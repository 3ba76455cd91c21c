"""A store in memory, made of the parts that Antiphon searches with."""

import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from antiphon.retrieval import lexical
from antiphon.retrieval.chunks import Chunk, chunks, title_of
from antiphon.retrieval.embedder import Embedder, Vectors
from antiphon.retrieval.packing import packed
from antiphon.retrieval.pieces import kind_of
from antiphon.retrieval.ranking import DEPTH
from antiphon.retrieval.search import Search
from antiphon.retrieval.vectors import VectorTable
from bench.retrieval.dataset import flat
from bench.retrieval.postgres import PostgresWords


class Words:
    """The lexical half: an FTS5 table."""

    def __init__(self, path: Path | str = ":memory:") -> None:
        self._database = sqlite3.connect(path, check_same_thread=False)
        if not self._database.execute("SELECT 1 FROM sqlite_schema").fetchone():
            self._database.execute(lexical.CREATE.format(table="words"))
            self._database.execute(lexical.RANK.format(table="words"))

    def add(self, rows: Iterable[tuple[int, str, str]]) -> None:
        """Key, what it stands under, and its own part."""
        prepared = (
            {"1": key, "2": lexical.indexed(about), "3": lexical.indexed(own)} for key, about, own in rows
        )
        self._database.executemany(lexical.INSERT.format(table="words"), prepared)
        self._database.commit()

    def found(self, expression: lexical.Expression, count: int) -> dict[int, float]:
        counts = [self._rows(lexical.COUNT, {"1": term})[0][0] for term in expression.terms]
        asked = {"1": expression.affordable(counts), "2": count}
        return dict(self._rows(lexical.SEARCH, asked))

    def _rows(self, sql: str, parameters: dict[str, object]) -> list[tuple[Any, ...]]:
        return self._database.execute(sql.format(table="words"), parameters).fetchall()

    def asked(self, question: str) -> dict[int, float]:
        """Shares of the question."""
        wanted = lexical.expression(question)
        found = self.found(wanted, DEPTH) if wanted else {}
        return {key: wanted.share(bm25) for key, bm25 in found.items()} if wanted else {}

    async def __call__(self, expression: lexical.Expression, count: int) -> Mapping[int, float]:
        return self.found(expression, count)

    def settle(self) -> None:
        pass

    def cpu(self) -> float:
        """Seconds of processor time of another process."""
        return 0.0


class Index:
    """Chunks of some texts. It is searched when the vectors of `passages` have been added."""

    def __init__(
        self, texts: Mapping[str, str], passage: int, words: Words | PostgresWords | None = None
    ) -> None:
        self.chunks: list[Chunk] = []
        self.passages: list[str] = []
        self.abouts: list[str] = []
        """What each chunk stands under."""
        self.owners: list[int] = []
        """For each passage the key of its chunk: its place."""
        self.words = words or Words()
        for name, text in texts.items():
            for chunk in chunks(text, kind_of(name), passage=passage):
                self._add(chunk, title_of(name))
        self.flat = [flat(chunk.text) for chunk in self.chunks]
        self.vectors = VectorTable(1)

    def _add(self, chunk: Chunk, title: str) -> None:
        key = len(self.chunks)
        embedded = chunk.embedded(title)
        self.chunks.append(chunk)
        self.passages += embedded
        self.owners += [key] * len(embedded)
        self.abouts.append(chunk.about(title))
        self.words.add([(key, self.abouts[key], chunk.own)])

    def put(self, vectors: Vectors) -> None:
        self.vectors = VectorTable.holding(np.asarray(self.owners), packed(vectors))

    def search(self, embedder: Embedder) -> Search:
        return Search(embedder.embed, self.vectors, self.words)

    def answering(self, passage: str) -> frozenset[int]:
        """The chunks that hold a passage, whole."""
        wanted = flat(passage)
        return frozenset(key for key, text in enumerate(self.flat) if wanted in text)
