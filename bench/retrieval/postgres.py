"""The lexical half on PostgreSQL: the rules of the store, on a database that nobody else uses.

`python -m bench.retrieval --postgres URL`. What the database's own process does is counted where it runs on
this machine.
"""

import asyncio
import os
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TypeVar

import psycopg
from psycopg import RawCursor

from antiphon.retrieval import lexical
from antiphon.retrieval.ranking import DEPTH
from antiphon.store.postgres import searches
from antiphon.store.postgres.schema import migrate
from antiphon.store.statements import Rows, Statement, Steps

T = TypeVar("T")

_AT_ONCE = 64
_P = "bench"


class PostgresWords:
    """What `index.Words` is, in a store of its own."""

    def __init__(self, url: str) -> None:
        asyncio.run(migrate(url))
        self._database = psycopg.connect(url, autocommit=True, cursor_factory=RawCursor, prepare_threshold=2)
        sql = """
            INSERT INTO vector_stores (project_id, id, created_at, name, metadata, last_active_at, embedder)
            VALUES ($1, gen_random_uuid(), 0, '', '', 0, '') RETURNING key"""
        ((self._store,),) = self._rows(sql, (_P,))
        self._first = self._store * 2**32
        sql = """
            INSERT INTO vector_store_files
                (store, file, created_at, status, attributes, chunk_tokens, overlap, embedder)
            VALUES ($1, 1, 0, 'completed', '{}', 0, 0, '') RETURNING key"""
        ((self._entry,),) = self._rows(sql, (self._store,))

    def add(self, rows: Iterable[tuple[int, str, str]]) -> None:
        """Key, what it stands under, and its own part."""
        waiting = iter(rows)
        while some := [(self._first + key, about, own) for key, about, own in islice(waiting, _AT_ONCE)]:
            self._drive(searches.insert(_P, self._entry, some))
            sql = "UPDATE vector_store_files SET chunks = chunks + $1 WHERE key = $2"
            self._rows(sql, (len(some), self._entry))

    def settle(self) -> None:
        """What the database does by itself, sooner or later."""
        self._rows("VACUUM ANALYZE")

    def found(self, expression: lexical.Expression, count: int) -> dict[int, float]:
        rows = self._drive(searches.find(_P, self._store, expression, count, None))
        return {key - self._first: score for key, score in rows}

    def asked(self, question: str) -> dict[int, float]:
        """Shares of the question."""
        wanted = lexical.expression(question)
        found = self.found(wanted, DEPTH) if wanted else {}
        return {key: wanted.share(bm25) for key, bm25 in found.items()} if wanted else {}

    async def __call__(self, expression: lexical.Expression, count: int) -> Mapping[int, float]:
        return self.found(expression, count)

    def cpu(self) -> float:
        """Seconds of processor time of the database's process; 0 where it is on another machine."""
        stat = Path(f"/proc/{self._database.info.backend_pid}/stat")
        if not stat.exists():
            return 0.0
        user, system = stat.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def _drive(self, steps: Steps[T]) -> T:
        rows: Rows = None  # type: ignore[assignment]  # a generator begins with None
        try:
            while True:
                step = steps.send(rows)
                assert isinstance(step, Statement)
                rows = self._rows(step.text, step.parameters)
        except StopIteration as end:
            result: T = end.value
            return result

    def _rows(self, sql: str, parameters: tuple[object, ...] = ()) -> Rows:
        cursor = self._database.execute(sql, parameters)
        return cursor.fetchall() if cursor.description else []
