"""What came before requests: histories that responses or conversations end with, as this process read or
wrote them last.

A chain of responses is continued by its newest, over and over: what came before is neither read from the
store again, nor looked at item by item. The store is asked one thing, whether it has what is known here
(`Responses.settled`): a response that was deleted, by whatever process, is not continued.

Of a conversation only what stands behind that is read, as long as nothing before was removed
(`Conversations.history`). A chain that another process goes on with is known by its beginning: it is read
again each time, but looked at only where it goes on behind what was read before.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TypeAlias

from msgspec import Struct

from antiphon.context.words import are_words, said_in
from antiphon.model import Said
from antiphon.protocol.item import Item

MOST_BYTES = 32 * 2**20
"""Of all histories that are kept, about."""
_SHARE = 4
"""The part of them that one may be: a larger one would drive out most of the others."""
_ITEM = 1024
"""Bytes of an item beside its text."""
_ENTRY = 512
"""Bytes of a history beside its items."""
_Key: TypeAlias = tuple[str, str | bytes]
"""A project, and the id of a response or a conversation, or the first of the rows."""


class History(Struct, frozen=True):
    """What came before a request."""

    items: tuple[Item, ...] = ()
    length: int = 0
    """Bytes of their JSON, where they are known."""
    words: bool = True
    """Whether they are words alone (`context.words`)."""
    said: Said | None = None
    """All of it, when it was said by turns."""
    rows: Sequence[bytes] = ()
    """The items as they were read, of a chain that was."""
    stop: int = 0
    """The position at which a conversation goes on behind it."""
    torn: bool = False
    """Whether data of an item was not there when it was read: then it is not kept."""

    @property
    def last(self) -> str:
        """The id of its last item."""
        return (self.items[-1].id or "") if self.items else ""

    @property
    def size(self) -> int:
        """Bytes that it takes, about: the items, and what a backend writes of them."""
        return (3 if self.rows else 2) * self.length + _ITEM * len(self.items) + _ENTRY

    def followed_by(self, more: Sequence[Item], length: int) -> "History":
        """It and what came then, `length` bytes of JSON."""
        items = (*self.items, *more)
        words = self.words and are_words(more)
        return History(
            items=items,
            length=self.length + length,
            words=words,
            said=self._said(items, more) if words else None,
            torn=self.torn,
        )

    def _said(self, items: Sequence[Item], more: Sequence[Item]) -> Said | None:
        """What was said when it is all of `items`, of which `more` came then. It may have stopped in the
        middle of a turn: then it is looked at anew, from its beginning."""
        said = said_in(more, self.said) if self.said is not None or not self.items else None
        return said_in(items, None) if said is None and self.items else said


class Histories:
    """Those that were used last, `most` bytes in all."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._size = 0
        self._known: OrderedDict[_Key, History] = OrderedDict()

    def find(self, project: str, end: str | bytes) -> History | None:
        """The history that ends with a response, or that of a conversation, or that begins with such a row,
        if it is known. It may be there no longer."""
        found = self._known.get((project, end))
        if found is not None:
            self._known.move_to_end((project, end))
        return found

    def keep(self, project: str, end: str | bytes, history: History) -> None:
        """Keep a history until others have its place; `end` as for `find`."""
        before = self._known.pop((project, end), None)
        if before is not None:
            self._size -= before.size
        if history.torn or history.size > self._most // _SHARE:
            return
        self._known[project, end] = history
        self._size += history.size
        while self._size > self._most:
            _, gone = self._known.popitem(last=False)
            self._size -= gone.size

    def beginning(self, project: str, rows: Sequence[bytes]) -> History:
        """What is known of a history that was read: all or a first part of it; nothing, if it was another
        one."""
        found = self.find(project, rows[0]) if rows else None
        return found if found is not None and rows[: len(found.rows)] == found.rows else History()

    def keep_read(self, project: str, history: History) -> None:
        """Keep a history that was read, until others have its place."""
        if history.rows:
            self.keep(project, history.rows[0], history)
