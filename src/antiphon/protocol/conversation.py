"""Conversations, as they go over the wire (surface.md section 5)."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from antiphon.protocol.wire import Metadata, Wire, shown

MAX_ITEMS = 20
"""Items that one request may bring."""

Items = Annotated[list[msgspec.Raw], Meta(max_length=MAX_ITEMS)]


class Conversation(Wire, kw_only=True):
    """The Conversation object."""

    id: str
    object: Literal["conversation"] = shown("conversation")
    created_at: int
    """Seconds since the epoch."""
    metadata: msgspec.Raw


class CreateConversation(Wire):
    """The body of POST /conversations."""

    items: Items | None = None
    metadata: Metadata | None = None


class UpdateConversation(Wire):
    """The body of POST /conversations/{id}. The whole map is replaced; null empties it."""

    metadata: Metadata | None


class CreateItems(Wire):
    """The body of POST /conversations/{id}/items."""

    items: Items
