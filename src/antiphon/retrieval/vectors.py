"""The vectors of a store, and which of its chunks are nearest to a question.

All vectors are looked at: that is exact, and takes less time than asking an index for as many as one store
has. A chunk has several vectors, one for each of its passages, and is as near as the nearest of them. Where
they would take more memory than there is, their signs are looked at, and then the vectors of what is likely.
"""

from collections.abc import Iterable, Sequence
from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from antiphon.retrieval.embedder import Vectors
from antiphon.retrieval.packing import Packed, differing, inverse_lengths, packed, products, signs

_FIRST = 256
"""Rows for which there is room at first; it doubles when it is used up."""
_PER_CHUNK = 4
"""About as many passages a chunk has: so many rows are taken for one chunk that is wanted."""


class Near(Struct, frozen=True, gc=False):
    """A chunk that was found."""

    key: int
    cosine: float


class _Rows(Struct, frozen=True):
    """Vectors, what makes each of them one of the length 1, and the keys of their chunks."""

    vectors: Packed
    scales: NDArray[np.float32]
    keys: NDArray[np.int64]

    @classmethod
    def empty(cls, count: int, dimension: int) -> Self:
        return cls(
            np.empty((count, dimension), np.int8), np.empty(count, np.float32), np.empty(count, np.int64)
        )

    @classmethod
    def of(cls, keys: NDArray[np.int64], vectors: Packed) -> Self:
        return cls(vectors, inverse_lengths(vectors), keys)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, wanted: slice | NDArray[np.bool_]) -> "_Rows":
        return _Rows(self.vectors[wanted], self.scales[wanted], self.keys[wanted])

    @property
    def nbytes(self) -> int:
        return self.vectors.nbytes + self.scales.nbytes + self.keys.nbytes

    def write(self, begin: int, rows: "_Rows") -> None:
        end = begin + len(rows)
        self.vectors[begin:end] = rows.vectors
        self.scales[begin:end] = rows.scales
        self.keys[begin:end] = rows.keys


class VectorTable:
    """Vectors with the keys of their chunks. It may be searched in other threads while one thread changes it:
    rows that are searched are never written again."""

    def __init__(self, dimension: int) -> None:
        self._rows = _Rows.empty(_FIRST, dimension)
        self._used = self._rows[:0]

    @classmethod
    def holding(cls, keys: NDArray[np.int64], vectors: Packed) -> Self:
        """With vectors that are there already. They are not copied, and must not be written any more."""
        table = cls(vectors.shape[1])
        table._rows = table._used = _Rows.of(keys, vectors)
        return table

    def __len__(self) -> int:
        """How many vectors there are."""
        return len(self._used)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self._rows.nbytes

    def append(self, keys: Sequence[int] | NDArray[np.int64], vectors: Packed) -> None:
        """Adds vectors, each with the key of its chunk."""
        begin, end = len(self), len(self) + len(keys)
        if end > len(self._rows):
            self._grow(end)
        self._rows.write(begin, _Rows.of(np.asarray(keys, np.int64), vectors))
        self._used = self._rows[:end]

    def delete(self, keys: Iterable[int]) -> None:
        """Takes out all vectors of these chunks. Their memory is given back."""
        used = self._used
        self._rows = self._used = used[~np.isin(used.keys, np.fromiter(keys, np.int64))]

    def nearest(self, question: Vectors, count: int, allowed: NDArray[np.int64] | None = None) -> list[Near]:
        """The chunks nearest to a question, the nearest first. `question` is one vector; `allowed`: only
        these chunks."""
        rows = self._used
        if not len(rows) or count < 1:
            return []
        cosines = self._cosines(rows, packed(question[None]))
        keys = rows.keys
        if allowed is not None:
            chosen = np.isin(keys, allowed)
            cosines, keys = cosines[chosen], keys[chosen]
        return _best(cosines, keys, count) if len(keys) else []

    def _cosines(self, rows: _Rows, asked: Packed) -> NDArray[np.float32]:
        cosines = products(rows.vectors, asked[0])
        cosines *= rows.scales
        cosines *= inverse_lengths(asked)
        return cosines

    def _grow(self, needed: int) -> None:
        room = max(needed, 2 * len(self._rows), _FIRST)
        rows = _Rows.empty(room, self._rows.vectors.shape[1])
        rows.write(0, self._used)
        self._rows = rows


class SignTable(VectorTable):
    """The same with the signs of the numbers alone, which take a sixth of the memory. Cosines are guessed by
    how many signs differ: good enough to choose the chunks whose vectors are worth looking at."""

    @classmethod
    def of(cls, table: VectorTable) -> Self:
        """What another table has."""
        return cls.holding(table._used.keys.copy(), signs(table._used.vectors))

    def append(self, keys: Sequence[int] | NDArray[np.int64], vectors: Packed) -> None:
        super().append(keys, signs(vectors))

    def _cosines(self, rows: _Rows, asked: Packed) -> NDArray[np.float32]:
        numbers = 8 * rows.vectors.shape[1]
        cosines: NDArray[np.float32] = np.cos(differing(rows.vectors, signs(asked)[0]) * (np.pi / numbers))
        return cosines


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
