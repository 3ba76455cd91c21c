"""Marks in a text that arrives in pieces: where one stands, and where one may be cut off."""

import re
from collections.abc import Collection


class Marks:
    """Some literal texts, none of which is the beginning of another."""

    __slots__ = ("_beginnings", "_first", "_longest", "_pattern")

    def __init__(self, marks: Collection[str]) -> None:
        self._pattern = re.compile("|".join(map(re.escape, marks)))
        self._first = re.compile("|".join(re.escape(char) for char in sorted({mark[0] for mark in marks})))
        self._beginnings = frozenset(mark[:size] for mark in marks for size in range(1, len(mark)))
        self._longest = max(map(len, marks)) - 1

    def find(self, text: str, at: int = 0) -> tuple[int, str]:
        """Where the first mark from a place on stands, and which it is. Without one: where one may be cut off
        at the end of the text, or that end, and nothing."""
        end = len(text)
        for found in self._first.finditer(text, at):
            start = found.start()
            if mark := self._pattern.match(text, start):
                return start, mark[0]
            if end - start <= self._longest and text[start:] in self._beginnings:
                return start, ""
        return end, ""
