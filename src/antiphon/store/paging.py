"""Which part of a list is asked for."""

from typing import Literal, TypeAlias

from msgspec import Struct

Order: TypeAlias = Literal["asc", "desc"]


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

    @property
    def backwards(self) -> bool:
        """Whether the page is the end of what is in front of a cursor."""
        return self.before is not None and self.after is None
