"""Which part of a list is asked for."""

from typing import Literal, TypeAlias

from msgspec import Struct

Order: TypeAlias = Literal["asc", "desc"]


class PageQuery(Struct, frozen=True):
    """At most `limit` entries behind the entry `after`, in the given order."""

    limit: int = 20
    order: Order = "desc"
    after: str | None = None

    @property
    def side(self) -> str:
        """How a key compares with that of the cursor."""
        return ">" if self.order == "asc" else "<"
