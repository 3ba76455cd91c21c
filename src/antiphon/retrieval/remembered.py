"""What was found of files, by their content: in memory alone, so whoever deletes a file need not ask where
else it was written down."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """The newest of what was found, up to so much: `size` says how much each is."""

    def __init__(self, limit: int, size: Callable[[T], int]) -> None:
        self._limit = limit
        self._size = size
        self._held = 0
        self._found: OrderedDict[object, T] = OrderedDict()

    def get(self, key: object) -> T | None:
        found = self._found.get(key)
        if found is not None:
            self._found.move_to_end(key)
        return found

    def put(self, key: object, found: T) -> None:
        size = self._size(found)
        if size > self._limit or key in self._found:
            return
        self._found[key] = found
        self._held += size
        while self._held > self._limit:
            self._held -= self._size(self._found.popitem(last=False)[1])
