"""The events of a Messages stream, or an answer in one piece: the members that we read.

Source: the reference of Anthropic's Messages API, streaming, as of 2026-10-21.
"""

from typing import Any

import msgspec
from msgspec import Struct


class CacheCreation(Struct, frozen=True, gc=False):
    """Tokens that were written to the cache, by how long they stay."""

    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class OutputDetails(Struct, frozen=True, gc=False):
    thinking_tokens: int | None = None


class Usage(Struct, frozen=True, gc=False):
    """Tokens, as totals. `input_tokens` are those that the cache had no part in."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None
    service_tier: str | None = None


class StopDetails(Struct, frozen=True, gc=False):
    explanation: str | None = None


class Piece(Struct, frozen=True, gc=False):
    """The `delta` of a block, or of the message."""

    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None
    signature: str | None = None
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


class Block(Struct, frozen=True, gc=False):
    """A block, as it begins; of an answer in one piece, whole."""

    type: str = ""
    text: str | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None


class Answer(Struct, frozen=True, gc=False):
    """A message, as it begins; in one piece, whole."""

    content: list[Block] | None = None
    usage: Usage | None = None
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


class Event(Struct, frozen=True, gc=False):
    """Any event, or an answer in one piece, whose members stand where those of an event do."""

    type: str = ""
    delta: Piece | None = None
    index: int | None = None
    content_block: Block | None = None
    message: Answer | None = None
    usage: Usage | None = None
    error: Any = None
    content: list[Block] | None = None
    stop_reason: str | None = None
    stop_details: StopDetails | None = None


decode = msgspec.json.Decoder(Event).decode
HALVES = frozenset({"text", "thinking", "partial_json"})
"""Members in which a character may be cut in half."""
