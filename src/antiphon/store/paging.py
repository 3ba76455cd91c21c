"""A part of a list: which is asked for, and what is read of it."""

from collections.abc import Iterator, Sequence
from typing import Generic, Literal, TypeAlias, TypeVar

from msgspec import Struct

from antiphon.store.errors import Listed, UnknownCursor
from antiphon.store.statements import Statement, Steps, one

Order: TypeAlias = Literal["asc", "desc"]
T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


def key_of(listed: Listed, after: str, key: Statement) -> Steps[int]:
    """The key of the entry behind which a list goes on, as the statement gives it. Raises UnknownCursor."""
    found = yield from one(key)
    if found is None:
        raise UnknownCursor(listed, after)
    return int(found[0])


class Page(Struct, Generic[T_co], frozen=True):
    """A part of a list. `more`: whether the list goes on."""

    rows: Sequence[T_co]
    more: bool


class PageQuery(Struct, frozen=True):
    """At most `limit` entries behind the entry `after`, in the given order."""

    limit: int = 20
    order: Order = "desc"
    after: str | None = None
    before: str | None = None
    """Only where a list says so: those in front of this entry. Without `after` the nearest of them."""

    @property
    def side(self) -> str:
        """How a key compares with that of the cursor."""
        return ">" if self.order == "asc" else "<"

    def page(self, rows: Sequence[T]) -> Page[T]:
        """The page of rows that were read for it: one more than `limit`, if the list goes on."""
        read = rows[: self.limit]
        return Page(read[::-1] if self._is_backwards else read, more=len(rows) > self.limit)

    # ---- for lists that know `before` ----

    @property
    def bounds(self) -> Iterator[tuple[str, str]]:
        """The cursors, and how keys compare with that of each."""
        if self.after is not None:
            yield self.after, self.side
        if self.before is not None:
            yield self.before, "<" if self.order == "asc" else ">"

    @property
    def direction(self) -> str:
        """The order in which entries are read: from the cursor on, also where it is the end of the page."""
        return ("desc" if self.order == "asc" else "asc") if self._is_backwards else self.order

    @property
    def _is_backwards(self) -> bool:
        return self.before is not None and self.after is None
