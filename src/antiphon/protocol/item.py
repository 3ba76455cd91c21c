"""What all items have in common."""

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, Self, cast

from msgspec import Meta
from msgspec.structs import replace

from antiphon.protocol.wire import Wire

ItemStatus = Literal["in_progress", "completed", "incomplete"]

NewId = Callable[[str], str]
"""Makes an id for an item of a type; see `ids.new_item_id`."""


class InputItem(Wire, tag_field="type"):
    """Anything that `input` may hold."""

    prefix: ClassVar[str] = ""
    """How ids of such items begin (behaviours.md section 4)."""


AgentPath = Annotated[str, Meta(min_length=1, max_length=2_100, pattern="^/root(/[A-Za-z0-9_-]{1,64})*$")]
"""The name of an agent: the names of those above it, then its own. 32 of them fit."""


class AgentName(Wire):
    agent_name: AgentPath


class Item(InputItem, kw_only=True):
    """An item that is kept. One type serves for what a client sends, where `id` and `status` may be left
    out or null, and for what the API shows, where they are set."""

    id: str | None = None
    agent: AgentName | None = None
    """Which of several agents it is of (beta)."""

    def stored(self, new_id: NewId) -> Self:
        """A copy in the form in which the API shows it."""
        return replace(self, id=self.id or new_id(item_type(self)))


class StatusItem(Item, kw_only=True):
    """An item that always shows a status. What a client sends without one is done."""

    status: str | None = None

    def stored(self, new_id: NewId) -> Self:
        item = super().stored(new_id)
        item.status = self.status or "completed"
        return item


def item_type(item: InputItem) -> str:
    """Its `type` on the wire."""
    return cast(str, item.__struct_config__.tag)
