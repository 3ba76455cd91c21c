"""What was had from the web lately: up to so much of it, and no older than so many seconds."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """`size` says how much a thing counts against `most`, the size of all together."""

    def __init__(self, most: int, seconds: float, size: Callable[[V], int]) -> None:
        self._most = most
        self._seconds = seconds
        self._size = size
        self._held = 0
        self._found: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def get(self, key: K) -> V | None:
        self._drop_old()
        found = self._found.get(key)
        return found[1] if found else None

    def put(self, key: K, value: V) -> None:
        if key in self._found:
            self._held -= self._size(self._found.pop(key)[1])
        self._found[key] = (time.monotonic() + self._seconds, value)
        self._held += self._size(value)
        while self._held > self._most:
            self._drop_oldest()

    def _drop_old(self) -> None:
        """The oldest come first: none is moved when it is read."""
        now = time.monotonic()
        while self._found and next(iter(self._found.values()))[0] < now:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        self._held -= self._size(self._found.popitem(last=False)[1][1])
