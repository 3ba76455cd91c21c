"""The vectors of a store, and which of its chunks are nearest to a question.

All vectors are looked at: that is exact, and takes less time than asking an index for as many as one store
has. A chunk has several vectors, one for each of its passages, and is as near as the nearest of them.
"""

from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from antiphon.retrieval.embedder import Vectors

_FIRST = 256
"""Rows for which there is room at first; it doubles when it is used up."""
_PER_CHUNK = 4
"""About as many passages a chunk has: so many rows are taken for one chunk that is wanted."""


class Near(Struct, frozen=True, gc=False):
    """A chunk that was found."""

    key: int
    cosine: float


class VectorTable:
    """Vectors with the keys of their chunks. It may be searched in other threads while one thread changes it:
    rows that are searched are never written again."""

    def __init__(self, dimension: int) -> None:
        self._rows: Vectors = np.empty((_FIRST, dimension), np.float32)
        self._keys: NDArray[np.int64] = np.empty(_FIRST, np.int64)
        self._used: tuple[Vectors, NDArray[np.int64]] = (self._rows[:0], self._keys[:0])

    @classmethod
    def holding(cls, keys: NDArray[np.int64], vectors: Vectors) -> Self:
        """With vectors that are there already. They are not copied, and must not be written any more."""
        table = cls(vectors.shape[1])
        table._rows, table._keys = vectors, keys
        table._used = (vectors, keys)
        return table

    def __len__(self) -> int:
        """How many vectors there are."""
        return len(self._used[1])

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self._rows.nbytes + self._keys.nbytes

    def append(self, keys: Sequence[int] | NDArray[np.int64], vectors: Vectors) -> None:
        """Adds vectors, each with the key of its chunk."""
        begin, end = len(self), len(self) + len(keys)
        if end > len(self._keys):
            self._grow(end)
        self._rows[begin:end] = vectors
        self._keys[begin:end] = keys
        self._used = (self._rows[:end], self._keys[:end])

    def delete(self, keys: Iterable[int]) -> None:
        """Takes out all vectors of these chunks. Their memory is given back."""
        rows, known = self._used
        kept = ~np.isin(known, np.fromiter(keys, np.int64))
        self._rows, self._keys = rows[kept], known[kept]
        self._used = (self._rows, self._keys)

    def nearest(self, question: Vectors, count: int, allowed: Iterable[int] | None = None) -> list[Near]:
        """The chunks nearest to a question, the nearest first. `question` is one vector; `allowed`: only
        these chunks."""
        rows, keys = self._used
        if allowed is not None:
            chosen = np.isin(keys, np.fromiter(allowed, np.int64))
            rows, keys = rows[chosen], keys[chosen]
        if not len(keys) or count < 1:
            return []
        return _best(rows @ question, keys, count)

    def _grow(self, needed: int) -> None:
        rows, keys = self._used
        room = max(needed, 2 * len(self._keys), _FIRST)
        self._rows = np.empty((room, self._rows.shape[1]), np.float32)
        self._keys = np.empty(room, np.int64)
        self._rows[: len(keys)] = rows
        self._keys[: len(keys)] = keys


def _best(cosines: NDArray[np.float32], keys: NDArray[np.int64], count: int) -> list[Near]:
    """The best row of each of the best chunks. Rows of equal cosines are in the order of their keys."""
    taken = count * _PER_CHUNK
    while True:
        some = np.arange(len(keys))
        if taken < len(keys):
            some = np.argpartition(-cosines, taken)[:taken]
        ordered = some[np.lexsort((keys[some], -cosines[some]))]
        _, first = np.unique(keys[ordered], return_index=True)
        if len(first) >= count or taken >= len(keys):
            return [Near(int(keys[row]), float(cosines[row])) for row in ordered[np.sort(first)[:count]]]
        taken *= 4
