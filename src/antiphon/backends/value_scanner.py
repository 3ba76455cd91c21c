"""Where a value ends in text that arrives in pieces. Every character is looked at once."""

import re
from collections.abc import Sequence
from typing import ClassVar

_IN_STRING = {'"': re.compile(r'["\\]'), "'": re.compile(r"['\\]")}
_BEHIND_SCALAR = re.compile(r"[\s}\],]")


class ValueScanner:
    """Finds the end of a JSON value."""

    __slots__ = ("_begun", "_depth", "_escaped", "_quote", "broken", "done")

    _sign: ClassVar = re.compile(r'["{}\[\]]')
    """What matters outside strings. What is none of the quotes and brackets has no place there."""

    def __init__(self) -> None:
        self._begun = self._escaped = False
        self._quote = ""
        self._depth = 0
        self.done = False
        self.broken = False
        """It is no such value: the next character cannot stand in one."""

    def feed(self, text: str) -> str:
        """As much of the text as belongs to the value; white space before it does not."""
        start = 0 if self._begun else len(text) - len(text.lstrip())
        at, end = start, len(text)
        while at < end and not (self.done or self.broken):
            at = self._in_string(text, at) if self._quote else self._outside(text, at)
        return text[start:at]

    def _in_string(self, text: str, at: int) -> int:
        if self._escaped:
            self._escaped = False
            return at + 1
        found = _IN_STRING[self._quote].search(text, at)
        if found is None:
            return len(text)
        if found[0] == "\\":
            self._escaped = True
        else:
            self._quote = ""
            self.done = not self._depth
        return found.end()

    def _outside(self, text: str, at: int) -> int:
        if not self._depth and (self._begun or text[at] not in '"{['):
            return self._in_scalar(text, at)
        self._begun = True
        found = self._sign.search(text, at)
        if found is None:
            return len(text)
        sign = found[0]
        if sign in "\"'":
            self._quote = sign
        elif sign in "{[(":
            self._depth += 1
        elif sign in "}])":
            self._depth -= 1
            self.done = not self._depth
        else:
            self.broken = True
            return found.start()
        return found.end()

    def _in_scalar(self, text: str, at: int) -> int:
        """A number or a word has no end of its own."""
        self._begun = True
        found = _BEHIND_SCALAR.search(text, at)
        self.done = found is not None
        return len(text) if found is None else found.start()


class StrictScanner(ValueScanner):
    """The same for what may turn out to be no JSON."""

    __slots__ = ()

    _sign: ClassVar = re.compile(r"[^\s\d:,+\-.eEtrufalsn]")


class PythonScanner(ValueScanner):
    """Finds the end of a list as Python writes it."""

    __slots__ = ()

    _sign: ClassVar = re.compile(r"""["'{}\[\]()]""")


class MarkScanner:
    """Finds the first of some marks, which is part of what it finds."""

    __slots__ = ("_marks", "_overlap", "_tail", "broken", "done", "mark")

    def __init__(self, marks: Sequence[str]) -> None:
        self._marks = re.compile("|".join(map(re.escape, marks)))
        self._overlap = max(map(len, marks)) - 1
        self._tail = ""
        self.mark = ""
        """The mark that was found."""
        self.done = self.broken = False

    def feed(self, text: str) -> str:
        """The text up to the mark, or all of it."""
        seen = self._tail + text
        found = self._marks.search(seen)
        if found is None:
            self._tail = seen[-self._overlap :]
            return text
        end = found.end() - len(self._tail)
        self.done, self.mark, self._tail = True, found[0], ""
        return text[:end]

    def go_on(self) -> bool:
        """The mark was none: another is looked for behind it."""
        self.done = False
        return True
