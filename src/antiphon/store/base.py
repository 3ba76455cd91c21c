"""What must be kept, and the interface that its homes (SQLite, PostgreSQL) share.

Items are stored once, as JSON bytes in output form. What orders them is a *thread*: a row of
positions. A response is a stretch of a thread: positions `start` to `end`, its input first, its output
from `middle` on. A turn that continues the newest response of a thread appends to it; one that
continues an older response starts a new thread, a *fork*, that names its parent thread and the position
at which it leaves it. So the history of a response is an indexed range (one for each fork on the way),
and a chain of N turns costs O(N). A conversation is a thread too, whose items can also be added and
removed one by one. Removing an item from a conversation hides it from the conversation and from later
turns; a stored response that consists of it keeps it until that response is deleted.

Every method that writes does so in one transaction, and returns when it is durable.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from antiphon.store.files import Files
    from antiphon.store.prompts import Prompts
    from antiphon.store.runs import Runs
    from antiphon.store.webhooks import Deliveries

Order = Literal["asc", "desc"]


class ItemRow(Struct, frozen=True):
    """An item in output form."""

    id: str
    json: bytes


class Page(Struct, frozen=True):
    """A stretch of a list. `more` tells whether the list goes on."""

    items: Sequence[ItemRow]
    more: bool


class PageQuery(Struct, frozen=True):
    """Which stretch: at most `limit` items behind the item `after`, in the given order."""

    limit: int = 20
    order: Order = "desc"
    after: str | None = None


class ResponseRow(Struct, frozen=True):
    """A finished response. `json` is the Response object with an empty `output`."""

    id: str
    created_at: int
    json: bytes
    input: Sequence[ItemRow]
    output: Sequence[ItemRow]
    previous_response_id: str | None = None
    conversation_id: str | None = None


class StoredResponse(Struct, frozen=True):
    """A response as read back: the Response object without output, and the output items."""

    json: bytes
    output: Sequence[bytes]


class ConversationRow(Struct, frozen=True):
    id: str
    created_at: int
    metadata: bytes
    """A JSON object."""


class Store(Protocol):
    """Rows belong to a project; no method sees another project's rows. Things that are not there are
    None, or False from a delete. `project` is the project's id."""

    @property
    def files(self) -> "Files":
        """The rows of files and uploads."""
        ...

    @property
    def prompts(self) -> "Prompts":
        """The prompt templates."""
        ...

    @property
    def runs(self) -> "Runs":
        """The background runs."""
        ...

    @property
    def webhooks(self) -> "Deliveries":
        """The deliveries of webhooks."""
        ...

    async def save_response(self, project: str, row: ResponseRow) -> None:
        """Keep a finished response with its items. With a conversation its items are appended there
        (and nothing is when the conversation was deleted meanwhile). Items whose id is already stored
        in the project (an item replayed by the client) are linked, not stored again; but an id that
        comes with other content is a version of its own, as clients make ids too. When what it
        continues was deleted while it ran, the response is kept all the same, with what is left.
        An input item that the conversation has already is part of the response only."""
        ...

    async def response(self, project: str, response_id: str) -> StoredResponse | None: ...

    async def delete_response(self, project: str, response_id: str) -> bool:
        """Forget a response, and every item that nothing else needs. Later responses of a chain that
        has it in the middle stay readable (behaviours.md section 7.10)."""
        ...

    async def history(self, project: str, response_id: str) -> Sequence[bytes] | None:
        """All items up to and including the response's output, oldest first. None also for a response
        that is still being made."""
        ...

    async def input_items(self, project: str, response_id: str, query: PageQuery) -> Page | None:
        """The input side of the response: inherited context and its own input (behaviours.md section 7.3).
        An id that is in it twice makes a cursor mean the first of them, in the order asked for.

        Raises `errors.NotFound` (param "after") when `query.after` is not among them.
        """
        ...

    async def item(self, project: str, item_id: str) -> bytes | None:
        """An item by id, for an `item_reference`; the newest, when clients gave the id to several."""
        ...

    async def create_conversation(
        self, project: str, row: ConversationRow, items: Sequence[ItemRow]
    ) -> None: ...

    async def conversation(self, project: str, conversation_id: str) -> ConversationRow | None: ...

    async def update_conversation(
        self, project: str, conversation_id: str, metadata: bytes
    ) -> ConversationRow | None: ...

    async def delete_conversation(self, project: str, conversation_id: str) -> bool:
        """Forget the conversation. Its items are kept (behaviours.md section 7.8), until `expire_left_items`;
        those of a response go when that response is deleted too."""
        ...

    async def add_items(self, project: str, conversation_id: str, items: Sequence[ItemRow]) -> bool:
        """Append items, all or none. False: no such conversation.

        Raises `errors.InvalidRequest` when an id is already in the conversation or twice in `items`.
        """
        ...

    async def conversation_items(self, project: str, conversation_id: str, query: PageQuery) -> Page | None:
        """Raises `errors.NotFound` (param "after") when `query.after` is not in the conversation."""
        ...

    async def conversation_history(self, project: str, conversation_id: str) -> Sequence[bytes] | None:
        """All items of the conversation, oldest first."""
        ...

    async def conversation_item(self, project: str, conversation_id: str, item_id: str) -> bytes | None: ...

    async def delete_conversation_item(self, project: str, conversation_id: str, item_id: str) -> bool: ...

    async def lock_conversation(self, project: str, conversation_id: str, holder: str, lease: float) -> bool:
        """Take or renew the right to write, for `lease` seconds. False: another holder has it, or a
        background run of the conversation has not ended."""
        ...

    async def unlock_conversation(self, project: str, conversation_id: str, holder: str) -> None: ...

    async def expire_responses(self, before: float, limit: int) -> int:
        """Delete, in every project, responses that were created before (seconds since the epoch), as
        `delete_response` does: the oldest first, at most `limit`. Gives how many went."""
        ...

    async def expire_left_items(self, before: float, limit: int) -> int:
        """Forget, in every project, the items of at most `limit` conversations that were deleted before,
        except what responses need: that goes with them. Gives of how many conversations."""
        ...

    async def close(self) -> None: ...
