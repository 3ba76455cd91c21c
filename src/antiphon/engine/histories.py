"""The histories of the newest responses, as this process read or wrote them last.

A chain of responses is continued by its newest, over and over: what came before is neither read from the
store again, nor looked at item by item. The store is asked one thing, whether it has what is known here
(`Responses.settled`): a response that was deleted, by whatever process, is not continued.
"""

from collections import OrderedDict
from collections.abc import Sequence

from msgspec import Struct

from antiphon.context.words import are_words, said_in
from antiphon.model import Said
from antiphon.protocol.item import Item

MOST_BYTES = 32 * 2**20
"""Of all histories that are kept, about."""
_ITEM = 1024
"""Bytes of an item beside its text."""


class History(Struct, frozen=True):
    """What came before a request."""

    items: tuple[Item, ...] = ()
    length: int = 0
    """Bytes of their JSON, where they are known."""
    words: bool = True
    """Whether they are words alone (`context.words`)."""
    said: Said | None = None
    """All of it, when it was said by turns."""

    @property
    def size(self) -> int:
        """Bytes that it takes, about: the items, and what a backend writes of them."""
        return 2 * self.length + _ITEM * len(self.items)

    def followed_by(self, more: Sequence[Item], length: int) -> "History":
        """It and what came then, `length` bytes of JSON."""
        words = self.words and are_words(more)
        goes_on = words and (self.said is not None or not self.items)
        return History(
            items=(*self.items, *more),
            length=self.length + length,
            words=words,
            said=said_in(more, self.said) if goes_on else None,
        )


class Histories:
    """Those that were used last, `most` bytes in all."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._size = 0
        self._known: OrderedDict[tuple[str, str], History] = OrderedDict()

    def find(self, project: str, response_id: str) -> History | None:
        """The history that ends with a response, if it is known. It may be there no longer."""
        found = self._known.get((project, response_id))
        if found is not None:
            self._known.move_to_end((project, response_id))
        return found

    def keep(self, project: str, response_id: str, history: History) -> None:
        """Keep the history that ends with a response, until others have its place."""
        before = self._known.pop((project, response_id), History())
        self._known[project, response_id] = history
        self._size += history.size - before.size
        while self._size > self._most:
            _, gone = self._known.popitem(last=False)
            self._size -= gone.size
